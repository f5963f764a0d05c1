//! Which intake connection belongs to which managed pot.
//!
//! Each pot is started with a token in its environment; a connection that shows it is that pot, whatever its lines say.
//! Tokens live in memory alone and change with each start of the pot.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use data_encoding::HEXLOWER;

/// The pot that a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Its id.
    pub pot_id: Arc<str>,
    /// Its kind.
    pub pot_type: Arc<str>,
}

/// The tokens in force; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Arc<RwLock<HashMap<String, Who>>>);

impl Tokens {
    /// A new token for a pot; its older ones end.
    pub fn issue(&self, pot_id: &str, pot_type: &str) -> String {
        let token = HEXLOWER.encode(&rand::random::<[u8; 16]>());
        self.revoke(pot_id);
        let who = Who { pot_id: pot_id.into(), pot_type: pot_type.into() };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), who);
        token
    }

    /// Ends a pot's tokens.
    pub fn revoke(&self, pot_id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|_, who| &*who.pot_id != pot_id);
    }

    /// The pot that a token belongs to. Looked up by hash: guessing 128 bits is the only way in.
    pub fn find(&self, token: &str) -> Option<Who> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_token_of_a_pot_is_good() {
        let tokens = Tokens::default();
        let old = tokens.issue("a", "ssh");
        let other = tokens.issue("b", "http");
        let new = tokens.issue("a", "ssh");
        assert_eq!(tokens.find(&old), None);
        assert_eq!(tokens.find(&new).map(|who| who.pot_id.to_string()), Some("a".into()));
        tokens.revoke("a");
        assert_eq!(tokens.find(&new), None);
        assert!(tokens.find(&other).is_some());
    }
}
