//! What a tool declares, once, and what is made of it: its entry in the list and the reading of its
//! arguments.

use std::sync::Arc;

use rmcp::{
    handler::server::common::{schema_for_input, schema_for_output},
    model::{ErrorData, JsonObject, Tool, ToolAnnotations},
};
use schemars::JsonSchema;
use selvedge_core::plugin::tools as core;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::scope::{Scope, Sessions};

/// A tool. The type itself is its arguments, besides those of its scope and `agent_id`.
pub(super) trait Declared: DeserializeOwned + JsonSchema + Send + 'static {
    /// As it is called.
    const NAME: &'static str;
    /// As people see it.
    const TITLE: &'static str;
    /// What it does and when to use it: for the model.
    const ABOUT: &'static str;
    /// What a call does to the world.
    const EFFECT: Effect;
    /// What it is about, and how that is said.
    type Scope: Scope + Send;
    /// What it answers.
    type Answer: JsonSchema + 'static;

    /// The call for the machine.
    ///
    /// # Errors
    ///
    /// What is wrong with the arguments, in words for the model.
    fn call(self, at: <Self::Scope as Scope>::Found) -> Result<core::Tool, String>;
}

/// What a call does to the world, as the hints of MCP say it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// Nothing.
    Reads,
    /// Each call adds something.
    Adds,
    /// It makes something so; a second call changes nothing.
    Sets,
    /// The same, and what was there before is lost.
    Replaces,
    /// Each call adds something, and takes something away.
    Ends,
}

impl Effect {
    fn hints(self) -> ToolAnnotations {
        let (reads, destroys, idempotent) = match self {
            Self::Reads => (true, false, true),
            Self::Adds => (false, false, false),
            Self::Sets => (false, false, true),
            Self::Replaces => (false, true, true),
            Self::Ends => (false, true, false),
        };
        // Whatever is said there is read by people and agents whom nobody here knows.
        ToolAnnotations::new()
            .read_only(reads)
            .destructive(destroys)
            .idempotent(idempotent)
            .open_world(true)
    }
}

/// The argument that every tool has.
#[derive(Debug, Deserialize, JsonSchema)]
struct Agent {
    /// The agent that acts; needed only where there is more than one.
    agent_id: Option<String>,
}

/// Its name.
const AGENT_ID: &str = "agent_id";

/// Takes the agent out of the arguments of a call.
pub(super) fn agent_of(name: &str, arguments: &mut JsonObject) -> Result<Option<String>, String> {
    let Agent { agent_id } = parse(name, take(arguments, &[AGENT_ID]))?;
    Ok(agent_id)
}

/// A call whose channel is still to be found.
pub(super) type Reader = Box<dyn FnOnce(&Sessions<'_>) -> Result<core::Tool, String> + Send>;

/// A tool in the table.
pub(super) struct Entry {
    pub(super) name: &'static str,
    list: fn() -> Result<Tool, ErrorData>,
    read: fn(JsonObject) -> Result<Reader, String>,
}

impl Entry {
    pub(super) const fn of<T: Declared>() -> Self {
        Self {
            name: T::NAME,
            list: listed::<T>,
            read: reader::<T>,
        }
    }

    /// As `tools/list` shows it.
    pub(super) fn list(&self) -> Result<Tool, ErrorData> {
        (self.list)()
    }

    /// Reads the arguments but for the agent's.
    pub(super) fn read(&self, arguments: JsonObject) -> Result<Reader, String> {
        (self.read)(arguments)
    }
}

fn listed<T: Declared>() -> Result<Tool, ErrorData> {
    Ok(Tool::new(T::NAME, T::ABOUT, input::<T>()?)
        .with_title(T::TITLE)
        .with_raw_output_schema(schema_for_output::<T::Answer>())
        .annotate(T::EFFECT.hints()))
}

/// The schema of all arguments together.
fn input<T: Declared>() -> Result<Arc<JsonObject>, ErrorData> {
    let mut all = (*schema::<T>()?).clone();
    for more in [schema::<T::Scope>()?, schema::<Agent>()?] {
        // Whatever is about the agent or the channel may be left out: nothing more is required.
        if let Some(Value::Object(more)) = more.get("properties") {
            let properties = all.entry("properties").or_insert_with(|| json!({}));
            if let Value::Object(properties) = properties {
                properties.extend(more.clone());
            }
        }
    }
    Ok(Arc::new(all))
}

fn schema<T: JsonSchema + 'static>() -> Result<Arc<JsonObject>, ErrorData> {
    schema_for_input::<T>().map_err(|why| ErrorData::internal_error(why, None))
}

fn reader<T: Declared>(mut arguments: JsonObject) -> Result<Reader, String> {
    let scope: T::Scope = parse(T::NAME, take(&mut arguments, T::Scope::KEYS))?;
    let own: T = parse(T::NAME, arguments)?;
    Ok(Box::new(move |sessions| own.call(scope.find(sessions)?)))
}

/// Takes these arguments out.
fn take(arguments: &mut JsonObject, keys: &[&str]) -> JsonObject {
    keys.iter()
        .filter_map(|key| arguments.remove_entry(*key))
        .collect()
}

fn parse<T: DeserializeOwned>(name: &str, arguments: JsonObject) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." {
            String::new()
        } else {
            format!("{path}: ")
        };
        format!(
            "the arguments of {name} are wrong: {at}{}; see its input schema",
            error.inner()
        )
    })
}
