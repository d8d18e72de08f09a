//! People, their roles, credentials, private data and log-ins.

mod import;
mod logins;
mod model;
mod repository;

pub use self::{
    import::import_people,
    logins::{
        end_login, end_logins, list_logins, own_password_hash, set_credentials, set_own_password,
    },
    model::{
        ActiveLogin, FieldChange, GrantedRole, ImportSummary, PersonDraft, PersonImportRow,
        PersonRecord, PrivateChange, PrivateFields, RoleAssignment,
    },
    repository::{
        PersonResource, log_activity, read_private_fields, set_private_fields, set_roles,
    },
};
