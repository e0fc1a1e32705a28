//! Reading a file of vectors.

use std::path::Path;

use serde_json::{Map, Value};

/// The rows of each group, in the order of the file.
pub(crate) type Rows = Vec<(String, Vec<Value>)>;

/// Reads a file. What a row refers to by `…_ref` is put in its place, and every row gets
/// `$recorded_keys`: the keys that the reference's process-wide cache can have held, since some rows
/// presuppose what an earlier test of the same file left there.
pub(crate) fn load(path: &Path) -> Rows {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Value = serde_json::from_str(&text).expect("vectors are JSON");
    let shared = [file["keys"].take(), file["jwks"].take()];
    let Value::Object(mut groups) = file["vectors"].take() else { panic!("no vectors") };
    let mut recorded = Vec::new();
    groups.values().for_each(|rows| collect(rows, &mut recorded));
    let recorded = Value::Array(recorded);
    for row in groups.values_mut().filter_map(Value::as_array_mut).flatten() {
        inline(row, &shared);
        row["$recorded_keys"] = recorded.clone();
    }
    let rows = |value: Value| if let Value::Array(rows) = value { rows } else { Vec::new() };
    groups.into_iter().map(|(name, group)| (name, rows(group))).collect()
}

/// The rows of two files, group by group.
pub(crate) fn merged(mut rows: Rows, more: Rows) -> Rows {
    for (name, group) in more {
        match rows.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(group),
            None => rows.push((name, group)),
        }
    }
    rows
}

fn inline(value: &mut Value, shared: &[Value; 2]) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| inline(item, shared)),
        Value::Object(members) => {
            let referred: Map<String, Value> = members
                .iter()
                .filter_map(|(name, to)| {
                    let name = name.strip_suffix("_ref")?;
                    let found = shared.iter().find_map(|by_name| by_name.get(to.as_str()?))?;
                    Some((name.to_owned(), found.clone()))
                })
                .collect();
            members.extend(referred);
            members.values_mut().for_each(|member| inline(member, shared));
        }
        _ => {}
    }
}

/// Every JWK under `key_jwk` and in a recorded answer of rows from upstream tests, once.
fn collect(rows: &Value, found: &mut Vec<Value>) {
    for row in rows.as_array().into_iter().flatten() {
        if row["kind"] != "extracted" {
            continue;
        }
        let input = &row["input"];
        let mut keys = vec![input["key_jwk"].clone()];
        for answer in input["upstream"].as_array().into_iter().flatten() {
            let body = answer["body"].as_str().unwrap_or_default();
            let body: Value = serde_json::from_str(body).unwrap_or_default();
            keys.extend(body["keys"].as_array().cloned().unwrap_or_default());
        }
        for key in keys.into_iter().filter(|key| key["kid"].is_string()) {
            if !found.contains(&key) {
                found.push(key);
            }
        }
    }
}
