//! Organisations, which form a hierarchy.

mod model;
mod repository;

pub use self::{
    model::{Organization, OrganizationDraft, OrganizationType},
    repository::OrganizationResource,
};
