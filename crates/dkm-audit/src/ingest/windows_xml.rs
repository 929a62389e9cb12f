//! A Windows event as XML, as `wevtutil qe Security /f:xml` writes it.

use roxmltree::{Document, Node, ParsingOptions};

use super::windows::Event;
use super::{Record, RecordError, time};

/// Most elements of an event.
const NODES_MAX: u32 = 10_000;

pub(super) fn read(text: &str) -> Result<Record, RecordError> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|_| RecordError::Malformed)?;
    let root = document.root_element();
    if root.tag_name().name() != "Event" {
        return Err(RecordError::Malformed);
    }
    let system = child(root, "System").ok_or(RecordError::BadField { field: "System" })?;
    let field = |name: &'static str| {
        let text = child(system, name).and_then(|node| node.text()).map(str::trim);
        text.filter(|text| !text.is_empty()).ok_or(RecordError::BadField { field: name })
    };
    let number = |name: &'static str| field(name)?.parse().map_err(|_| RecordError::BadField { field: name });
    let at = child(system, "TimeCreated").and_then(|node| node.attribute("SystemTime")).and_then(time::parse);
    let keywords = field("Keywords").ok().and_then(|text| text.strip_prefix("0x"));
    let keywords = keywords.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    let data = child(root, "EventData").into_iter().flat_map(|data| data.children());
    let data = data.filter_map(|node| Some((node.attribute("Name")?.to_owned(), node.text()?.to_owned())));
    Event {
        number: number("EventID")?,
        record: number("EventRecordID")?,
        computer: field("Computer")?.to_owned(),
        channel: field("Channel")?.to_owned(),
        at: at.ok_or(RecordError::BadField { field: "TimeCreated" })?,
        // The bit for a failed audit.
        failure: keywords & (1 << 52) != 0,
        data: data.collect(),
    }
    .record()
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}
