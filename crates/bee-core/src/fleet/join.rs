//! Join tokens: made for an operator, packed into a code with Core's addresses and CA fingerprint.

use bee_link::core::{Change, NewToken};
use bee_wire::api::{JoinTokenCreated, JoinTokenRequest};
use bee_wire::{JoinCode, Secret};

use super::{Fleet, views};
use crate::error::CoreError;
use crate::text;

/// An hour, as `honeybee invite` says.
const EXPIRES_DEFAULT_S: u64 = 3_600;
/// A year: longer codes are forgotten in wikis.
const EXPIRES_MAX_S: u64 = 366 * 24 * 3_600;
const NOTE_BYTES_MAX: usize = 256;

impl Fleet {
    /// Makes a join token. The code is in the answer and nowhere else.
    pub(crate) async fn create_join_token(
        &self,
        request: JoinTokenRequest,
        addresses: Vec<String>,
        ca_sha256: [u8; 32],
    ) -> Result<JoinTokenCreated, CoreError> {
        let invalid = |parameter: &str, problem: String| CoreError::Invalid {
            parameter: parameter.to_owned(),
            problem,
        };
        let expires_s = request.expires_in_s.unwrap_or(EXPIRES_DEFAULT_S);
        if !(1..=EXPIRES_MAX_S).contains(&expires_s) {
            return Err(invalid("expires_in_s", format!("{expires_s} is not between 1 and {EXPIRES_MAX_S}")));
        }
        let uses_max = u32::try_from(request.uses.unwrap_or(1)).ok().filter(|uses| *uses > 0);
        let uses_max =
            uses_max.ok_or_else(|| invalid("uses", "must be between 1 and 4294967295".to_owned()))?;
        let now = self.now();
        let expires_ms = i64::try_from(expires_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let new = NewToken {
            uses_max,
            expires_unix_ms: now.unix_ms.saturating_add(expires_ms),
            note: text::cut(request.note.as_deref().unwrap_or_default(), NOTE_BYTES_MAX).to_owned(),
        };
        let (secret, change) = self.lock().registry.mint_token(new, now, &mut rand::rng())?;
        let Change::Token(token) = &change else { return Err(CoreError::Closed) };
        let token = views::join_token(token);
        let code = JoinCode { addresses, ca_sha256, secret: Secret::new(secret.as_str()) }
            .encode()
            .map_err(|error| invalid("addresses", error.to_string()));
        let code = match code {
            Ok(code) => code,
            Err(error) => {
                // Never stored, so nothing else knows it.
                let _ = self.lock().registry.remove_token(&token.id);
                return Err(error);
            }
        };
        self.persist(vec![change]).await?;
        Ok(JoinTokenCreated { token, code })
    }

    /// Ends a join token.
    pub(crate) async fn revoke_join_token(&self, id: &str) -> Result<(), CoreError> {
        let change = self.lock().registry.revoke_token(id)?;
        self.persist(vec![change]).await
    }
}
