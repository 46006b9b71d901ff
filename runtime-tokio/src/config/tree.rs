//! The configuration as written: values that know where they stand, read section by section.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use toml::de::{DeTable, DeValue};

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a line of the file.
    Line(usize),
    /// In an environment variable.
    Env(String),
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) place: Place,
    pub(super) node: Node,
}

/// What a value can be.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Integer(i64),
    Bool(bool),
    List(Vec<Value>),
    Table(Table),
    /// A kind that no key takes; its name.
    Other(&'static str),
}

/// Keys and values of one section.
pub(super) type Table = BTreeMap<String, Value>;

/// Everything that is wrong, in the order in which it was found.
#[derive(Debug)]
pub(super) struct Problems {
    file: String,
    found: Vec<String>,
}

impl Problems {
    pub(super) fn new(file: String) -> Self {
        Self {
            file,
            found: Vec::new(),
        }
    }

    /// Something is wrong with what stands at `place`, or with the file as a whole.
    pub(super) fn add(&mut self, place: Option<&Place>, what: impl fmt::Display) {
        let file = &self.file;
        self.found.push(match place {
            Some(Place::Line(line)) => format!("{file}:{line}: {what}"),
            Some(Place::Env(name)) => format!("environment variable {name}: {what}"),
            None => format!("{file}: {what}"),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_found(self) -> Vec<String> {
        self.found
    }
}

/// The file as a tree; what is no TOML is a problem, and the rest of it is lost.
pub(super) fn parse(text: &str, problems: &mut Problems) -> Table {
    let line_at = |offset: usize| {
        let before = text.as_bytes().get(..offset).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    };
    match DeTable::parse(text) {
        Ok(table) => convert_table(table.get_ref(), &line_at),
        Err(error) => {
            let place = error.span().map(|span| Place::Line(line_at(span.start)));
            problems.add(place.as_ref(), error.message());
            Table::new()
        }
    }
}

fn convert_table(table: &DeTable<'_>, line_at: &impl Fn(usize) -> usize) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let place = Place::Line(line_at(key.span().start));
            let node = convert(value.get_ref(), line_at);
            (key.get_ref().to_string(), Value { place, node })
        })
        .collect()
}

fn convert(value: &DeValue<'_>, line_at: &impl Fn(usize) -> usize) -> Node {
    match value {
        DeValue::String(text) => Node::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Node::Other("a number beyond 64 bits"), Node::Integer),
        DeValue::Float(_) => Node::Other("a number with a fraction"),
        DeValue::Boolean(truth) => Node::Bool(*truth),
        DeValue::Datetime(_) => Node::Other("a date"),
        DeValue::Array(items) => Node::List(
            items
                .iter()
                .map(|item| Value {
                    place: Place::Line(line_at(item.span().start)),
                    node: convert(item.get_ref(), line_at),
                })
                .collect(),
        ),
        DeValue::Table(table) => Node::Table(convert_table(table, line_at)),
    }
}

/// One section while it is read: every key that is asked for is taken out, the rest is unknown.
pub(super) struct Section<'p> {
    /// As it is written: `[center]`.
    name: String,
    table: Table,
    asked: Vec<&'static str>,
    problems: &'p mut Problems,
}

impl<'p> Section<'p> {
    pub(super) fn new(name: String, table: Table, problems: &'p mut Problems) -> Self {
        Self {
            name,
            table,
            asked: Vec::new(),
            problems,
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.table.remove(key)
    }

    /// What stands at `key` is not what was expected.
    fn unfit(&mut self, key: &str, value: &Value, expected: impl fmt::Display) {
        let found = match &value.node {
            // A URL with credentials is not repeated.
            Node::Text(text) if text.contains('@') => "a text that may hold a password".into(),
            Node::Text(text) => format!("{text:?}"),
            Node::Integer(number) => number.to_string(),
            Node::Bool(truth) => truth.to_string(),
            Node::List(_) => "a list".into(),
            Node::Table(_) => "a table".into(),
            Node::Other(kind) => (*kind).into(),
        };
        let name = &self.name;
        self.problems.add(
            Some(&value.place),
            format_args!("{name} {key}: expected {expected}, found {found}"),
        );
    }

    /// A value that `read` takes from text; what it does not take is a problem.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let fit = match &value.node {
            Node::Text(text) => read(text),
            Node::Integer(_) | Node::Bool(_) | Node::List(_) | Node::Table(_) | Node::Other(_) => {
                None
            }
        };
        if fit.is_none() {
            self.unfit(key, &value, expected);
        }
        fit
    }

    /// The place of a key that was not taken yet.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        self.table.get(key).map(|value| value.place.clone())
    }

    /// A whole number within `range`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
        unit: &str,
    ) -> Option<i64> {
        let value = self.take(key)?;
        let number = match &value.node {
            Node::Integer(number) => Some(*number),
            Node::Text(text) if matches!(value.place, Place::Env(_)) => text.trim().parse().ok(),
            Node::Text(_) | Node::Bool(_) | Node::List(_) | Node::Table(_) | Node::Other(_) => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = range.into_inner();
            let expected = if low == i64::MIN {
                format!("a whole number up to {high}{unit}")
            } else {
                format!("a whole number from {low} to {high}{unit}")
            };
            self.unfit(key, &value, expected);
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        let truth = match &value.node {
            Node::Bool(truth) => Some(*truth),
            Node::Text(text) if matches!(value.place, Place::Env(_)) => text.trim().parse().ok(),
            Node::Text(_) | Node::Integer(_) | Node::List(_) | Node::Table(_) | Node::Other(_) => {
                None
            }
        };
        if truth.is_none() {
            self.unfit(key, &value, "true or false");
        }
        truth
    }

    /// A list of at least one text, each as `read` takes it; in an environment variable the items
    /// are separated by commas.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let items: Option<Vec<T>> = match &value.node {
            Node::List(items) => items
                .iter()
                .map(|item| match &item.node {
                    Node::Text(text) => read(text),
                    Node::Integer(_)
                    | Node::Bool(_)
                    | Node::List(_)
                    | Node::Table(_)
                    | Node::Other(_) => None,
                })
                .collect(),
            Node::Text(text) if matches!(value.place, Place::Env(_)) => {
                text.split(',').map(|item| read(item.trim())).collect()
            }
            Node::Text(_) | Node::Integer(_) | Node::Bool(_) | Node::Table(_) | Node::Other(_) => {
                None
            }
        };
        let items = items.filter(|items| !items.is_empty());
        if items.is_none() {
            self.unfit(
                key,
                &value,
                format_args!("a list of {expected}, with at least one"),
            );
        }
        items
    }

    /// Something is wrong with the section as a whole, or with one of its keys.
    pub(super) fn problem(&mut self, place: Option<&Place>, what: impl fmt::Display) {
        let name = &self.name;
        self.problems.add(place, format_args!("{name} {what}"));
    }

    /// Whatever was not asked for is unknown.
    pub(super) fn finish(self) {
        let Self {
            name,
            table,
            asked,
            problems,
        } = self;
        for (key, value) in table {
            let place = Some(&value.place);
            if matches!(key.as_str(), "api_key" | "password") {
                problems.add(
                    place,
                    format_args!(
                        "{name} {key}: secrets do not stand in this file; set {key}_env to the \
                         name of an environment variable, or {key}_file to a file"
                    ),
                );
            } else {
                let hint = hint(&key, asked.iter().copied());
                problems.add(place, format_args!("{name} {key} is not a key{hint}"));
            }
        }
    }
}

/// `; did you mean …?`, where a known name is at all near.
pub(super) fn hint<'n>(unknown: &str, known: impl Iterator<Item = &'n str>) -> String {
    let near = known
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .min()
        .filter(|(edits, name)| *edits <= name.len().max(unknown.len()) / 2);
    match near {
        Some((_, name)) => format!("; did you mean {name}?"),
        None => String::new(),
    }
}
