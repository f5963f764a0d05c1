//! From a stored event to the view that people and programs read: normal form, node name, place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use bee_wire::api::Event;
use bee_wire::id::Cursor;
use bee_wire::{Micros, NodeId};
use serde_json::value::RawValue;

use crate::geo::Geo;
use crate::ingest::record::{Header, Source, StoredEvent};
use crate::normal;

/// Names of nodes, for events: kept by the fleet, read by queries and the live feed.
#[derive(Debug, Default)]
pub struct NodeNames(RwLock<HashMap<NodeId, Arc<str>>>);

impl NodeNames {
    /// Sets the name of a node.
    pub fn set(&self, node_id: NodeId, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(node_id, Arc::from(name));
    }

    /// The name, also of a node that was removed while Core ran; else its number.
    fn get(&self, node_id: NodeId) -> String {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.get(&node_id).map_or_else(|| node_id.to_string(), |name| name.to_string())
    }
}

/// Makes views. Shared by queries and the live feed.
pub struct Views {
    geo: Arc<Geo>,
    names: Arc<NodeNames>,
}

impl Views {
    /// Views with these sources of names and places.
    pub fn new(geo: Arc<Geo>, names: Arc<NodeNames>) -> Self {
        Self { geo, names }
    }

    /// The view of one event.
    pub fn view(&self, seq: u64, header: &Header, event: &StoredEvent<'_>) -> Event {
        let columns = normal::columns(event.event_type, event.pot_type, event.data);
        let place = columns.src_ip.map(|ip| self.geo.lookup(ip)).unwrap_or_default();
        let text = |ip: IpAddr| ip.to_string();
        let node_name = match header.source {
            // Module events come from Core itself, which is node 0.
            Source::Published if header.node_id == NodeId(0) => "core".to_owned(),
            _ => self.names.get(header.node_id),
        };
        Event {
            id: Cursor(seq),
            time: event.time,
            received: header.received,
            node_id: header.node_id,
            node: header.node_id.to_string(),
            node_name,
            pot_id: event.pot_id.to_owned(),
            pot_type: event.pot_type.unwrap_or("unknown").to_owned(),
            event_type: columns.event_type,
            category: columns.category,
            src_ip: columns.src_ip.map(text),
            src_port: columns.src_port,
            dst_ip: columns.dst_ip.map(text),
            dst_port: columns.dst_port,
            protocol: columns.protocol,
            session: columns.session,
            username: columns.username,
            password: columns.password,
            command: columns.command,
            url: columns.url,
            path: columns.path,
            user_agent: columns.user_agent,
            sha256: columns.sha256,
            hassh: columns.hassh,
            ja4: columns.ja4,
            country: place.country,
            asn: place.asn,
            as_org: place.as_org,
            tags: columns.tags.into_iter().map(str::to_owned).collect(),
            severity: columns.severity,
            data: raw(event.data),
        }
    }
}

/// Stored data was checked when it was read from the node; an empty object stands for what no longer is JSON.
fn raw(data: &str) -> Box<RawValue> {
    RawValue::from_string(data.to_owned())
        .or_else(|_| RawValue::from_string("{}".to_owned()))
        .unwrap_or_default()
}

/// The time shown for events that are newer than the clock says is not corrected: it is the node's.
pub(crate) fn age_ms(now: Micros, then: Micros) -> i64 {
    now.unix_ms().saturating_sub(then.unix_ms())
}
