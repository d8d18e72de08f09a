//! stand-in until merge
use super::exam::Question;
use std::sync::Arc;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadValue(&'static str);
impl BadValue {
    pub const fn reason(self) -> &'static str {
        self.0
    }
}
pub fn check(_q: &Question, v: &serde_json::Value) -> Result<Option<Arc<str>>, BadValue> {
    Ok(if v.is_null() {
        None
    } else {
        Some(v.to_string().into())
    })
}
