//! API and module tokens: who may ask what of Core.
//!
//! A token is `hbt_` and 256 random bits; only its SHA-256 is kept, so a stolen state file opens nothing and
//! a plain hash is enough. Join tokens are not here: `bee_link::core::Registry` owns them.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use bee_wire::api::{ApiToken, ApiTokenCreated, ApiTokenRequest, Scope};
use bee_wire::{Micros, Secret};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::CoreError;
use crate::state::{Change, Record, State, StateError};
use crate::text;

const PREFIX: &str = "hbt_";
const SECRET_BYTES: usize = 32;
const SECRET_CHARS_MAX: usize = 128;
const ID_CHARS: usize = 12;
/// Tokens at most; a limit that no operator meets and no bug passes.
const TOKENS_MAX: usize = 10_000;

/// Who is behind a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token's id.
    pub token_id: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

impl Principal {
    /// Whether this one may do that; `admin` may do everything.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TokenRecord {
    id: String,
    name: String,
    scopes: Vec<Scope>,
    sha256: String,
    created: Micros,
    expires: Option<Micros>,
    last_used: Option<Micros>,
}

impl Record for TokenRecord {
    const KIND: &'static str = "API token";
    const VERSION: u32 = 1;
}

/// All tokens.
pub struct Tokens {
    state: State,
    by_hash: RwLock<HashMap<String, TokenRecord>>,
}

impl Tokens {
    /// Reads the stored tokens.
    pub fn load(state: State) -> Result<Self, StateError> {
        let stored = state.records::<TokenRecord>("api-token/")?;
        let by_hash = stored.into_iter().map(|(_, record)| (record.sha256.clone(), record)).collect();
        Ok(Self { state, by_hash: RwLock::new(by_hash) })
    }

    /// Makes a token; its secret is in the answer and nowhere else.
    pub async fn create(&self, request: ApiTokenRequest, now: Micros) -> Result<ApiTokenCreated, CoreError> {
        let name = text::cut(request.name.trim(), 128).to_owned();
        let invalid = |parameter: &str, problem: &str| CoreError::Invalid {
            parameter: parameter.to_owned(),
            problem: problem.to_owned(),
        };
        if name.is_empty() {
            return Err(invalid("name", "is empty; say who or what the token is for"));
        }
        if request.scopes.is_empty() {
            return Err(invalid("scopes", "is empty; such a token could do nothing"));
        }
        if self.read().len() >= TOKENS_MAX {
            return Err(CoreError::TooMany(format!(
                "the limit of {TOKENS_MAX} tokens is reached; revoke some"
            )));
        }
        let mut random = zeroize::Zeroizing::new([0_u8; SECRET_BYTES]);
        rand::Rng::fill_bytes(&mut rand::rng(), random.as_mut());
        let secret =
            Secret::new(format!("{PREFIX}{}", BASE32_NOPAD.encode(random.as_ref()).to_ascii_lowercase()));
        let sha256 = hash(secret.expose());
        let expires_ms = |seconds: u64| i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let record = TokenRecord {
            id: sha256.get(..ID_CHARS).unwrap_or_default().to_owned(),
            name,
            scopes: request.scopes,
            sha256: sha256.clone(),
            created: now,
            expires: request.expires_in_s.map(|seconds| now.plus_ms(expires_ms(seconds))),
            last_used: None,
        };
        self.state.commit(vec![Change::put(key(&record.id), &record)?]).await?;
        let token = view(&record);
        self.write().insert(sha256, record);
        Ok(ApiTokenCreated { token, secret })
    }

    /// Ends a token at once.
    pub async fn revoke(&self, id: &str) -> Result<(), CoreError> {
        let found = self.read().values().find(|record| record.id == id).map(|record| record.sha256.clone());
        let Some(sha256) = found else {
            return Err(CoreError::NotFound { what: "token", id: text::cut(id, 64).to_owned() });
        };
        self.state.commit(vec![Change::delete(key(id))]).await?;
        self.write().remove(&sha256);
        Ok(())
    }

    /// All tokens, oldest first, without their secrets.
    pub fn list(&self) -> Vec<ApiToken> {
        let mut tokens: Vec<ApiToken> = self.read().values().map(view).collect();
        tokens.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id)));
        tokens
    }

    /// Who a secret belongs to, if it is good now. Looked up by its hash, whose timing tells nothing.
    pub fn authenticate(&self, secret: &str, now: Micros) -> Option<Principal> {
        let secret = secret.trim();
        if secret.len() > SECRET_CHARS_MAX || !secret.starts_with(PREFIX) {
            return None;
        }
        let sha256 = hash(secret);
        let (principal, seen) = {
            let tokens = self.read();
            let record = tokens.get(&sha256)?;
            if record.expires.is_some_and(|expires| now >= expires) {
                return None;
            }
            let principal = Principal {
                token_id: record.id.clone(),
                name: record.name.clone(),
                scopes: record.scopes.clone(),
            };
            (principal, record.last_used)
        };
        // Minutes are exact enough, and most requests then need no write lock.
        if seen.is_none_or(|seen| crate::events::age_ms(now, seen) > 60_000)
            && let Some(record) = self.write().get_mut(&sha256)
        {
            record.last_used = Some(now);
        }
        Some(principal)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, TokenRecord>> {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, TokenRecord>> {
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(id: &str) -> String {
    format!("api-token/{id}")
}

fn hash(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}

fn view(record: &TokenRecord) -> ApiToken {
    ApiToken {
        id: record.id.clone(),
        name: record.name.clone(),
        scopes: record.scopes.clone(),
        created: record.created,
        expires: record.expires,
        last_used: record.last_used,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::state::RedbKv;

    fn at(seconds: i64) -> Micros {
        Micros::from_unix_ms(seconds * 1_000)
    }

    fn request(scopes: Vec<Scope>, expires_in_s: Option<u64>) -> ApiTokenRequest {
        ApiTokenRequest { name: "grafana".into(), scopes, expires_in_s }
    }

    #[tokio::test]
    async fn a_token_works_until_it_expires_or_is_revoked_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.redb");
        let (state, _thread) = State::start(Arc::new(RedbKv::open(&path).unwrap())).unwrap();
        let tokens = Tokens::load(state.clone()).unwrap();
        let made = tokens.create(request(vec![Scope::EventsRead], Some(60)), at(100)).await.unwrap();
        let secret = made.secret.expose().to_owned();

        let principal = Tokens::load(state).unwrap().authenticate(&secret, at(159)).unwrap();
        assert_eq!(principal.name, "grafana");
        assert!(principal.may(Scope::EventsRead) && !principal.may(Scope::NodesCommand));
        assert_eq!(tokens.authenticate(&secret, at(160)), None, "expired");
        assert_eq!(tokens.authenticate("hbt_wrong", at(100)), None);

        tokens.revoke(&made.token.id).await.unwrap();
        assert_eq!(tokens.authenticate(&secret, at(101)), None, "revoked");
        assert!(matches!(tokens.revoke(&made.token.id).await, Err(CoreError::NotFound { .. })));
        drop(tokens);
        assert!(!std::fs::read(&path).unwrap().windows(secret.len()).any(|part| part == secret.as_bytes()));
    }

    #[tokio::test]
    async fn the_admin_scope_holds_all_others_and_an_empty_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _thread) =
            State::start(Arc::new(RedbKv::open(&dir.path().join("s.redb")).unwrap())).unwrap();
        let tokens = Tokens::load(state).unwrap();
        let made = tokens.create(request(vec![Scope::Admin], None), at(0)).await.unwrap();
        let principal = tokens.authenticate(made.secret.expose(), at(10)).unwrap();
        assert!(Scope::ALL.iter().all(|scope| principal.may(*scope)));
        assert!(tokens.create(request(vec![], None), at(0)).await.is_err());
    }
}
