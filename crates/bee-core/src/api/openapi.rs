//! The OpenAPI 3.1 document: written from the handlers themselves, served at `/api/openapi.json`.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

/// What stands in the document before any route is added.
pub(super) fn base() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("hbt_..")
        .description(Some(
            "A token of `honeybee tokens` or `POST /api/v1/tokens`. The scopes that a route needs stand with it; \
             `admin` holds all of them.",
        ))
        .build();
    let info = InfoBuilder::new()
        .title("HoneyBee Core")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Nodes, honeypots, events and commands of a HoneyBee fleet. Errors are problem documents (RFC 9457) \
             with a stable `code`. Live data comes over WebSocket at `/ws`, in the module protocol.",
        ))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build()))
        .build();
    let components = ComponentsBuilder::new().security_scheme("bearer", SecurityScheme::Http(bearer)).build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// The document as JSON, for tools that generate clients from it without starting Core.
pub fn document() -> String {
    super::routes::router().1
}
