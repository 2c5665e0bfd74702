//! What the fuzz targets need of this module's inside. Built for them alone.

use lapin::protocol::basic::{gen_properties, parse_properties};

use super::properties::Properties;

/// Properties as somebody encoded them, if the AMQP client can read them.
pub fn decode(bytes: &[u8]) -> Option<Properties> {
    parse_properties(bytes).ok().map(|(_, properties)| Properties(properties))
}

/// Properties as the AMQP client encodes them.
pub fn encode(properties: &Properties) -> Option<Vec<u8>> {
    let written = gen_properties(&properties.0)(Vec::new().into()).ok()?;
    Some(written.into_inner().0)
}

/// What the broker takes for an order rather than a note.
pub fn acts(properties: &Properties) -> bool {
    properties.0.user_id().is_some() || properties.0.expiration().is_some()
}
