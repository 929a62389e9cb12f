//! The description of the API (OpenAPI 3.1): its schemas are made of the types that are said. docs/openapi.json is what
//! this makes; tests compare it with the routes.

mod parameters;
mod table;

use std::sync::OnceLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use dkm_remote::wire;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{ResponseBuilder, ResponsesBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi, PathItem, Paths, Ref,
    RefOr, Required,
};
use utoipa::{PartialSchema, ToSchema};

const ABOUT: &str = "\
The key service of DKM. A client is known by a certificate that the server's own authority has signed (mutual TLS, version \
1.2 or 1.3), by a Kerberos ticket of its domain with each request where the server is set up for that (Authorization: Negotiate, RFC \
4559), or over the server's Unix socket by its Unix account. Times are milliseconds since 1970-01-01 UTC, ids are \
hexadecimal, bytes are Base64. Unknown fields of requests are refused; clients ignore unknown fields of answers. Every error \
has the body `Problem` (RFC 9457).";

const SCHEME: &str = "certificate";

/// Every status of a problem, and what it says.
const PROBLEMS: &[(u16, &str)] = &[
    (400, "The request is not understood, or asks for what can't be."),
    (401, "The caller is nobody whom the server knows, or no longer."),
    (403, "The caller may not do this. It is recorded."),
    (404, "It is not there, or not for this caller to see."),
    (409, "It is in a state that does not allow this."),
    (413, "The body is longer than a MiB."),
    (429, "The caller asks for too much at a time."),
    (
        503,
        "The audit log takes no entries, or something else that the server needs does not work: nothing was done.",
    ),
    (507, "The server has no space left: nothing was done."),
];

/// A request, and its answer if all is well.
struct Described {
    operation: OperationBuilder,
    responses: ResponsesBuilder,
    schemas: Vec<(String, RefOr<Schema>)>,
    is_public: bool,
}

fn described(id: &str, tag: &str, summary: &str) -> Described {
    Described {
        operation: OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary)),
        responses: ResponsesBuilder::new(),
        schemas: Vec::new(),
        is_public: false,
    }
}

fn bytes() -> RefOr<Schema> {
    RefOr::T(Schema::Object(
        ObjectBuilder::new().schema_type(Type::String).content_encoding("binary").build(),
    ))
}

impl Described {
    fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        RefOr::Ref(Ref::from_schema_name(name))
    }

    /// Nobody need be known who asks this.
    fn public(mut self) -> Self {
        self.is_public = true;
        self
    }

    fn query(mut self, name: &str, required: Required, about: &str) -> Self {
        self.operation = self.operation.parameter(parameters::query(name, required, about));
        self
    }

    /// Takes JSON.
    fn takes<T: ToSchema>(mut self) -> Self {
        let content = ContentBuilder::new().schema(Some(self.reference::<T>())).build();
        let body =
            RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// Takes bytes.
    fn takes_bytes(mut self, about: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(bytes())).build();
        let body = RequestBodyBuilder::new().content("application/octet-stream", content);
        let body = body.required(Some(Required::True)).description(Some(about));
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// Answers with JSON.
    fn gives<T: ToSchema>(self, about: &str) -> Self {
        self.gives_with::<T>(200, about)
    }

    fn gives_with<T: ToSchema>(mut self, status: u16, about: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(self.reference::<T>())).build();
        let response = ResponseBuilder::new().description(about).content("application/json", content);
        self.responses = self.responses.response(status.to_string(), response.build());
        self
    }

    /// Answers with a status alone.
    fn says(mut self, status: u16, about: &str) -> Self {
        let response = ResponseBuilder::new().description(about).build();
        self.responses = self.responses.response(status.to_string(), response);
        self
    }

    /// Answers with something else than the JSON of a type.
    fn gives_as(mut self, kind: &str, about: &str) -> Self {
        let any = ObjectBuilder::new().schema_type(Type::Object).build();
        let schema = if kind == "application/json" { RefOr::T(Schema::Object(any)) } else { bytes() };
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new().description(about).content(kind, content).build();
        self.responses = self.responses.response("200", response);
        self
    }

    fn finish(self, path: &str) -> (Operation, Vec<(String, RefOr<Schema>)>) {
        let Self { mut operation, responses, mut schemas, is_public } = self;
        let mut responses = responses.build();
        for (status, _) in PROBLEMS.iter().filter(|(status, _)| !is_public || *status != 403) {
            let place = Ref::new(format!("#/components/responses/{}", problem_name(*status)));
            // What the operation says of a status itself is the more exact word.
            responses.responses.entry(status.to_string()).or_insert(RefOr::Ref(place));
        }
        let of_path: Vec<Parameter> = parameters::of_path(path);
        operation = of_path.into_iter().fold(operation, OperationBuilder::parameter);
        if is_public {
            operation = operation.securities(Some(Vec::<SecurityRequirement>::new()));
        }
        schemas.push((wire::Problem::name().into_owned(), wire::Problem::schema()));
        wire::Problem::schemas(&mut schemas);
        (operation.responses(responses).build(), schemas)
    }
}

fn problem_name(status: u16) -> String {
    format!("Problem{status}")
}

/// The description.
#[must_use]
pub fn document() -> OpenApi {
    let mut paths = Paths::new();
    let mut components = Components::new();
    for (method, path, described) in table::operations() {
        let (operation, schemas) = described.finish(path);
        components.schemas.extend(schemas);
        match paths.paths.get_mut(path) {
            Some(item) => item.merge_operations(PathItem::new(method, operation)),
            None => {
                paths.paths.insert(path.to_owned(), PathItem::new(method, operation));
            }
        }
    }
    for (status, about) in PROBLEMS {
        let schema = RefOr::Ref(Ref::from_schema_name(wire::Problem::name()));
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response =
            ResponseBuilder::new().description(*about).content("application/problem+json", content);
        components.responses.insert(problem_name(*status), RefOr::T(response.build()));
    }
    let scheme = SecurityScheme::MutualTls {
        description: Some("A certificate of the server's own authority; see POST /v1/enrolment.".to_owned()),
        deprecated: None,
        extensions: None,
    };
    components.security_schemes.insert(SCHEME.to_owned(), scheme.into());
    let license =
        LicenseBuilder::new().name("Apache-2.0 OR MIT").identifier(Some("Apache-2.0 OR MIT")).build();
    let info = InfoBuilder::new().title("dkmd").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT));
    let mut document = OpenApi::new(info.license(Some(license)).build(), paths);
    document.components = Some(components);
    document.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())]);
    document
}

/// The description as text, with a newline at its end.
#[must_use]
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    // What it is made of can be written: a test looks at the whole.
    TEXT.get_or_init(|| document().to_pretty_json().unwrap_or_default() + "\n")
}

pub(super) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn operations_have_names_of_their_own() {
        let ids: Vec<String> = table::operations()
            .into_iter()
            .filter_map(|(_, _, d)| d.operation.build().operation_id)
            .collect();
        assert!(ids.len() > 30);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let text = document.to_string();
        let references: BTreeSet<&str> =
            text.split("\"$ref\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 20, "{references:?}");
        for reference in references {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
