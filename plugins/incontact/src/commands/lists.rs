//! Lists for the menus of desktops: reasons, dispositions, and whom one can call.

use jackfield_plugin_api::{
    Code, Failure, Outcome,
    lists::{ListEntry, ListKind, ListParent, ListRequest},
};
use serde_json::{Value, json};

use super::{
    contact::lead,
    dial::skills,
    disposition::{of_skill, skill_of},
    state::{code_name, codes},
};
use crate::{
    api::{active, text, truth},
    line::Line,
};

pub(super) async fn list(line: &Line, request: &ListRequest) -> Outcome {
    match entries(line, request).await {
        Ok(all) => request.page(all).into(),
        Err(failure) => failure.into(),
    }
}

async fn entries(line: &Line, request: &ListRequest) -> Result<Vec<ListEntry>, Failure> {
    match (request.kind, &request.under) {
        (ListKind::Reasons, None) => {
            let codes = codes(line).await?;
            Ok(codes.iter().filter(|code| active(code)).map(|code| ListEntry::new(code_name(code))).collect())
        }
        (ListKind::Dispositions, None) => {
            let mut all: Vec<Value> = Vec::new();
            for skill in skills(line).await?.iter().filter(|skill| truth(skill, "useDisposition")) {
                all.extend(of_skill(line, &text(skill, "skillId")).await?);
            }
            Ok(dispositions(&all))
        }
        (ListKind::Dispositions, Some(ListParent::Interaction(at))) => {
            let skill = skill_of(line, &lead(line, &at.interaction)?).await?;
            Ok(dispositions(&of_skill(line, &skill).await?))
        }
        (ListKind::Destinations, under) => {
            let book = match under {
                None => None,
                Some(ListParent::Entry(book)) => Some(book.as_str()),
                Some(_) => return Err(nothing_there()),
            };
            let destinations = line.directory.destinations(&line.key, &line.agent).await?;
            if book.is_some_and(|book| !destinations.iter().any(|(_, entry)| entry.id == book)) {
                return Err(nothing_there());
            }
            // Who searches at the top searches the books too.
            let wanted = |of: &Option<String>| of.as_deref() == book || book.is_none() && request.query.is_some();
            Ok(destinations.into_iter().filter(|(of, _)| wanted(of)).map(|(_, entry)| entry).collect())
        }
        _ => Err(nothing_there()),
    }
}

fn nothing_there() -> Failure {
    Failure::new(Code::NotFound, "nothing is listed there")
}

/// By text, each once: several skills may have the same.
fn dispositions(all: &[Value]) -> Vec<ListEntry> {
    let mut entries: Vec<ListEntry> = Vec::new();
    for disposition in all {
        let mut entry = ListEntry::new(text(disposition, "dispositionName"));
        if !entries.iter().any(|known| known.id == entry.id) {
            entry.data.insert("dispositionId".to_owned(), json!(text(disposition, "dispositionId")).into());
            entries.push(entry);
        }
    }
    entries
}
