//! Tests of the stored forms.

mod forms;
