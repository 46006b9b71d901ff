//! Environment variables that override keys: `SELVEDGE_CENTER__URL`, `SELVEDGE_AGENT__0__ID`.

use super::{
    keys::{AGENT, GUILD, SECTIONS},
    tree::{Node, Place, Problems, Table, Value, hint},
};

const PREFIX: &str = "SELVEDGE_";

/// Puts each override into the tree, in place of what the file says.
pub(super) fn apply(
    tree: &mut Table,
    env: impl Iterator<Item = (String, String)>,
    problems: &mut Problems,
) {
    let mut overrides: Vec<_> = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    overrides.sort();
    for (name, text) in overrides {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let place = Place::Env(name.clone());
        if !rest.contains("__") {
            // Not ours, unless it is an override whose second underscore was forgotten.
            if let Some(meant) = meant_override(&name) {
                problems.add(
                    Some(&place),
                    format_args!("overrides nothing; did you mean {meant}?"),
                );
            }
            continue;
        }
        let parts: Vec<_> = rest.split("__").map(str::to_lowercase).collect();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let value = Value {
            place: place.clone(),
            node: Node::Text(text),
        };
        let fits = match *parts.as_slice() {
            ["agent", index, key] if AGENT.contains(&key) => {
                set_agent(tree, index, key, value, problems)
            }
            ["guild", id, key] if GUILD.contains(&key) => set_guild(tree, id, key, value),
            [section, key] if known(section).any(|known| known == key) => {
                set(tree, section, key, value)
            }
            _ => false,
        };
        if !fits {
            let names = all_names(tree);
            let hint = hint(&name, names.iter().map(String::as_str));
            problems.add(Some(&place), format_args!("overrides no key{hint}"));
        }
    }
}

fn known(section: &str) -> impl Iterator<Item = &'static str> {
    SECTIONS
        .iter()
        .filter(move |(name, _)| *name == section)
        .flat_map(|(_, keys)| keys.iter().copied())
}

fn set(tree: &mut Table, section: &str, key: &str, value: Value) -> bool {
    let entry = tree.entry(section.to_owned()).or_insert_with(|| Value {
        place: value.place.clone(),
        node: Node::Table(Table::new()),
    });
    // A section that is no table is a problem that is told when it is read.
    if let Node::Table(table) = &mut entry.node {
        table.insert(key.to_owned(), value);
    }
    true
}

/// Agents are counted from 0; one more than the file has may be added.
fn set_agent(
    tree: &mut Table,
    index: &str,
    key: &str,
    value: Value,
    problems: &mut Problems,
) -> bool {
    let Ok(index) = index.parse::<usize>() else {
        return false;
    };
    let entry = tree.entry("agent".to_owned()).or_insert_with(|| Value {
        place: value.place.clone(),
        node: Node::List(Vec::new()),
    });
    let Node::List(agents) = &mut entry.node else {
        return true;
    };
    if index == agents.len() {
        agents.push(Value {
            place: value.place.clone(),
            node: Node::Table(Table::new()),
        });
    }
    let count = agents.len();
    match agents.get_mut(index).map(|agent| &mut agent.node) {
        Some(Node::Table(table)) => {
            table.insert(key.to_owned(), value);
        }
        Some(Node::Text(_) | Node::Integer(_) | Node::Bool(_) | Node::List(_) | Node::Other(_)) => {
        }
        None => problems.add(
            Some(&value.place),
            format_args!("there are only {count} agent(s), counted from 0"),
        ),
    }
    true
}

/// Guilds are those of the file; what cannot stand in a variable's name is an underscore.
fn set_guild(tree: &mut Table, id: &str, key: &str, value: Value) -> bool {
    let Some(Node::Table(guilds)) = tree.get_mut("guild").map(|guild| &mut guild.node) else {
        return false;
    };
    let guild = guilds
        .iter_mut()
        .find(|(name, _)| as_variable(name) == as_variable(id));
    let Some((_, guild)) = guild else {
        return false;
    };
    if let Node::Table(table) = &mut guild.node {
        table.insert(key.to_owned(), value);
    }
    true
}

fn as_variable(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// Every variable that would override something.
fn all_names(tree: &Table) -> Vec<String> {
    let plain = SECTIONS.iter().flat_map(|(section, keys)| {
        keys.iter()
            .map(move |key| format!("{PREFIX}{}__{}", as_variable(section), as_variable(key)))
    });
    let agents = AGENT
        .iter()
        .map(|key| format!("{PREFIX}AGENT__0__{}", as_variable(key)));
    let guilds = match tree.get("guild").map(|guild| &guild.node) {
        Some(Node::Table(guilds)) => guilds.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let guilds = guilds
        .into_iter()
        .map(|id| format!("{PREFIX}GUILD__{}__URL", as_variable(&id)));
    plain.chain(agents).chain(guilds).collect()
}

fn meant_override(name: &str) -> Option<String> {
    all_names(&Table::new())
        .into_iter()
        .find(|known| known.replace("__", "_") == name)
}
