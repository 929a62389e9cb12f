//! The peer in the same language: asherah with a static master key and its store in memory, as its own example has it.

use std::sync::Arc;

use anyhow::Result;
use asherah::aead::AES256GCM;
use asherah::kms::StaticKMS;
use asherah::metastore::InMemoryMetastore;
use asherah::{Config, DataRowRecord, Session};

pub(crate) struct Asherah {
    session: Session<AES256GCM, StaticKMS<AES256GCM>, InMemoryMetastore>,
}

impl Asherah {
    pub(crate) fn new() -> Result<Self> {
        let aead = Arc::new(AES256GCM::new());
        let kms = Arc::new(StaticKMS::new(aead.clone(), vec![7; 32])?);
        let store = Arc::new(InMemoryMetastore::new());
        let factory = asherah::api::new_session_factory(Config::new("service", "product"), store, kms, aead);
        Ok(Self { session: factory.get_session("partition") })
    }

    pub(crate) fn encrypt(&self, plaintext: &[u8]) -> Result<DataRowRecord> {
        self.session.encrypt(plaintext)
    }

    pub(crate) fn decrypt(&self, record: DataRowRecord) -> Result<Vec<u8>> {
        self.session.decrypt(record)
    }
}
