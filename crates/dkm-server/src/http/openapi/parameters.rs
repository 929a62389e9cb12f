//! Parameters of requests.

use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn parameter(name: &str, place: ParameterIn, about: &str, schema: Object) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).description(Some(about));
    parameter.schema(Some(schema)).build()
}

pub(super) fn query(name: &str, required: Required, about: &str) -> Parameter {
    let mut parameter = parameter(name, ParameterIn::Query, about, text().build());
    parameter.required = required;
    parameter
}

/// What stands for itself in a path.
pub(super) fn of_path(path: &str) -> Vec<Parameter> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| of_name(name, path)).collect()
}

fn of_name(name: &str, path: &str) -> Parameter {
    let account = "^(service|person):[a-z0-9._-]{1,128}$";
    let (about, pattern) = match name {
        "group" => {
            ("Id of a group of keys", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
        }
        "room" => ("`control` or `keys`", "^(control|keys)$"),
        "slot" => ("Where a record lies in its room", "^[a-z0-9._-]{1,128}$"),
        "request" => ("Id of a request for access", "^[0-9a-f]{32}$"),
        "member" => ("A principal, or a directory group", "^(service|person|group):[a-z0-9._-]{1,128}$"),
        "size" => ("Entries that the log had", "^(0|[1-9][0-9]{0,18})$"),
        "path" => (
            "Path of a tile by C2SP tlog-tiles, with its slashes: `0/x001/234`, `0/000.p/12`, `entries/000`",
            "^([0-7]|entries)(/x[0-9]{3}){0,5}/[0-9]{3}(\\.p/[1-9][0-9]{0,2})?$",
        ),
        _ if path.starts_with("/v1/directory-groups") => ("A directory group", "^group:[a-z0-9._-]{1,128}$"),
        _ => ("A principal: `service:NAME` or `person:NAME`", account),
    };
    let mut parameter = parameter(name, ParameterIn::Path, about, text().pattern(Some(pattern)).build());
    parameter.required = Required::True;
    parameter
}
