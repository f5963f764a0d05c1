//! `honeybee tokens`: access for programs and people.

use crate::args::{Global, Tokens};
use crate::client::{Client, percent};
use crate::error::{CliError, Exit};
use crate::output::{self, Style};
use bee_wire::api::{ApiTokenCreated, ApiTokenList, ApiTokenRequest, Scope};
use serde_json::json;

/// # Errors
/// Those of talking to Core.
pub(crate) async fn run(global: &Global, style: Style, command: &Tokens) -> Result<(), CliError> {
    let client = Client::new(crate::context::find(global)?)?;
    match command {
        Tokens::Ls => list(&client, global).await,
        Tokens::Create { name, scopes, ttl } => {
            create(&client, global, style, name, scopes, ttl.as_deref()).await
        }
        Tokens::Rm { id } => {
            client.delete(&format!("/api/v1/tokens/{}", percent(id))).await?;
            output::note(&format!("{} token {} is worthless now", style.tick(), output::clean(id, 64)));
            Ok(())
        }
    }
}

async fn list(client: &Client, global: &Global) -> Result<(), CliError> {
    let answer: ApiTokenList = client.get("/api/v1/tokens").await?;
    if global.json {
        output::json(&json!(answer));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = answer
        .tokens
        .iter()
        .map(|token| {
            let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
            vec![
                output::clean(&token.id, 64),
                output::clean(&token.name, 40),
                scopes.join(" "),
                token.created.to_string(),
                token.expires.map_or_else(|| "never".to_owned(), |time| time.to_string()),
                token.last_used.map_or_else(|| "never".to_owned(), |time| time.to_string()),
            ]
        })
        .collect();
    output::table(&["ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "USED"], &rows);
    Ok(())
}

async fn create(
    client: &Client,
    global: &Global,
    style: Style,
    name: &str,
    scopes: &[String],
    ttl: Option<&str>,
) -> Result<(), CliError> {
    let ttl_s = match ttl {
        None => None,
        Some(text) => Some(output::seconds(text).ok_or_else(|| {
            CliError::new("HB0001", format!("`{text}` is no time span"))
                .exit(Exit::Usage)
                .help("Write it as 12h or 30d.")
        })?),
    };
    let mut parsed = Vec::new();
    for scope in scopes {
        parsed.push(Scope::parse(scope).ok_or_else(|| {
            let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            CliError::new("HB0001", format!("`{scope}` is no scope"))
                .exit(Exit::Usage)
                .help(format!("There are: {}", known.join(", ")))
        })?);
    }
    let request = ApiTokenRequest { name: name.to_owned(), scopes: parsed, expires_in_s: ttl_s };
    let answer: ApiTokenCreated = client.post("/api/v1/tokens", &request).await?;
    if global.json {
        output::json(&json!(answer));
        return Ok(());
    }
    output::note(&format!("{} This is shown once; Core keeps only its hash:", style.tick()));
    output::data(answer.secret.expose());
    Ok(())
}
