//! The rows that each person sees, and the rights of each database role.

use std::{fmt::Write, time::Duration};

use expect_test::expect;
use invigil_domain::{id::AttemptId, time::Timestamp};
use invigil_store::{AnnounceOutcome, CatalogStore, EvidenceQuota, EvidenceStore, PersonRole};
use invigil_store_sql::postgres::PostgresStore;

use crate::session::{enter, lines, none, rows, run, value, world};
use sqlx::Row;

/// A person who reads, and the heading of their column.
const PEOPLE: [(&str, &str); 9] = [
    ("root", "root"),
    ("a_admin", "admin"),
    ("a_teacher1", "teach1"),
    ("a_teacher2", "teach2"),
    ("a_candidate1", "cand1"),
    ("a_proctor", "proct"),
    ("a1_admin", "A1adm"),
    ("b_admin", "Badm"),
    ("", "nobody"),
];

/// Tables with policies, and the views that take their place for people.
const LOOKED_AT: &str = "
    SELECT DISTINCT tablename::text FROM pg_policies WHERE schemaname = 'public'
    UNION ALL SELECT unnest(ARRAY['visible_exam_statistics', 'visible_question_statistics'])
    ORDER BY 1";

#[tokio::test]
async fn everybody_sees_the_rows_of_the_own_place_and_no_others() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let tables: Vec<String> = rows(&mut connection, LOOKED_AT)
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    let mut seen = format!("{:<28}{:>7}", "", "there");
    for (_, heading) in PEOPLE {
        write!(seen, "{heading:>7}").unwrap();
    }
    for table in &tables {
        let query = format!("SELECT count(*) FROM {table}");
        let there = value(
            &mut connection,
            // Rows that the views would show to a person from whom nothing is hidden.
            &query.replace("visible_", ""),
        )
        .await;
        write!(seen, "\n{table:<28}{there:>7}").unwrap();
        for (person, _) in PEOPLE {
            enter(&mut connection, "invigil_app", person).await;
            let count = value(&mut connection, &query).await;
            run(&mut connection, "ROLLBACK").await;
            let count = if count == "0" { "." } else { &count };
            write!(seen, "{count:>7}").unwrap();
        }
    }
    seen.push('\n');
    expect![[r#"
                                      there   root  admin teach1 teach2  cand1  proct  A1adm   Badm nobody
        answer_marks                      6      6      4      1      1      .      .      2      2      .
        answers                          12     12      8      2      2      2      .      4      4      .
        attempt_evidence                  6      6      4      1      1      1      .      2      2      .
        attempt_timeline                  6      6      4      1      1      1      .      2      2      .
        audit_logs                       19     19     12      .      .      .      .      6      6      .
        course_categories                 3      3      2      1      1      .      .      1      1      .
        course_enrollments                6      6      4      1      1      1      .      2      2      .
        courses                           6      6      4      1      1      .      .      2      2      .
        exam_accommodations               6      6      4      1      1      .      .      2      2      .
        exam_attempt_keys                 6      6      4      1      1      1      .      2      2      .
        exam_attempts                     6      6      4      1      1      1      .      2      2      .
        exam_questions                   12     12      8      2      2      .      .      4      4      .
        exam_sections                     6      6      4      1      1      .      .      2      2      .
        exam_version_questions           12     12      8      2      2      .      .      4      4      .
        exam_versions                     6      6      4      1      1      .      .      2      2      .
        exams                             6      6      4      1      1      .      .      2      2      .
        key_corrections                   6      6      4      1      1      .      .      2      2      .
        login_attempts                   20     20     12      .      .      .      .      6      6      .
        organizations                     4      4      2      1      1      .      .      1      1      .
        proctor_logs                      6      6      4      1      1      .      .      2      2      .
        question_categories               3      3      2      1      1      .      .      1      1      .
        question_media                   12     12      8      3      3      .      .      4      4      .
        questions                        12     12      8      3      3      .      .      4      4      .
        security_events                  20     20     12      .      .      .      .      6      6      .
        user_activity_logs               19     19     12      .      .      .      .      6      6      .
        user_roles                       19     19     12      1      1      1      1      6      6      .
        user_sessions                    19     19     12      1      1      1      1      6      6      .
        users                            19     19     12      2      2      1      1      6      6      .
        visible_exam_statistics           6      6      4      1      1      .      .      2      2      .
        visible_question_statistics      12     12      8      2      2      .      .      4      4      .
    "#]].assert_eq(&seen);
    database.remove().await;
}

/// Tables whose numbers tell where a row belongs: the test lists the visible ones.
const WHICH: [(&str, &str); 9] = [
    ("organizations", "id"),
    ("users", "id"),
    ("courses", "id"),
    ("questions", "id"),
    ("exams", "id"),
    ("exam_attempts", "id"),
    ("answers", "attempt_id"),
    ("audit_logs", "user_id"),
    ("user_sessions", "id"),
];

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "most of them are what is expected")]
async fn the_rows_seen_are_the_right_ones() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let mut seen = String::new();
    for (person, _) in PEOPLE.iter().filter(|(person, _)| *person != "root") {
        let shown = if person.is_empty() { "nobody" } else { person };
        writeln!(seen, "{shown}").unwrap();
        enter(&mut connection, "invigil_app", person).await;
        for (table, number) in WHICH {
            let query = format!("SELECT string_agg(DISTINCT {number}::text, ' ') FROM {table}");
            let which = value(&mut connection, &query).await;
            if which != "null" {
                writeln!(seen, "  {table:<14}{which}").unwrap();
            }
        }
        run(&mut connection, "ROLLBACK").await;
    }
    expect![[r#"
        a_admin
          organizations 100 200
          users         110 120 121 130 131 140 210 220 221 230 231 240
          courses       120 121 220 221
          questions     1200 1201 1210 1211 2200 2201 2210 2211
          exams         120 121 220 221
          exam_attempts 130 131 230 231
          answers       130 131 230 231
          audit_logs    110 120 121 130 131 140 210 220 221 230 231 240
          user_sessions 110 120 121 130 131 140 210 220 221 230 231 240
        a_teacher1
          organizations 100
          users         120 130
          courses       120
          questions     1200 1201 1211
          exams         120
          exam_attempts 130
          answers       130
          user_sessions 120
        a_teacher2
          organizations 100
          users         121 131
          courses       121
          questions     1201 1210 1211
          exams         121
          exam_attempts 131
          answers       131
          user_sessions 121
        a_candidate1
          users         130
          exam_attempts 130
          answers       130
          user_sessions 130
        a_proctor
          users         140
          user_sessions 140
        a1_admin
          organizations 200
          users         210 220 221 230 231 240
          courses       220 221
          questions     2200 2201 2210 2211
          exams         220 221
          exam_attempts 230 231
          answers       230 231
          audit_logs    210 220 221 230 231 240
          user_sessions 210 220 221 230 231 240
        b_admin
          organizations 300
          users         310 320 321 330 331 340
          courses       320 321
          questions     3200 3201 3210 3211
          exams         320 321
          exam_attempts 330 331
          answers       330 331
          audit_logs    310 320 321 330 331 340
          user_sessions 310 320 321 330 331 340
        nobody
    "#]]
    .assert_eq(&seen);
    database.remove().await;
}

/// Selects one line a table and role: the letters of the role's rights on the whole table,
/// small for rights on some columns alone.
const PRIVILEGES: &str = "
    SELECT rtrim(format('%-28s %s', c.relname,
        string_agg(format('%-10s', p.letters), '' ORDER BY r.n)))
    FROM pg_class AS c
    CROSS JOIN unnest(ARRAY['engine', 'app', 'readonly', 'monitor', 'analytics', 'backup'])
        WITH ORDINALITY AS r (name, n)
    CROSS JOIN LATERAL (
        SELECT string_agg(
            CASE WHEN has_table_privilege('invigil_' || r.name, c.oid, k.kind) THEN left(k.kind, 1)
                 WHEN k.kind <> 'DELETE'
                      AND has_any_column_privilege('invigil_' || r.name, c.oid, k.kind)
                 THEN lower(left(k.kind, 1))
                 ELSE '-' END,
            '' ORDER BY k.n) AS letters
        FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS k (kind, n)
    ) AS p
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
      AND NOT c.relispartition
    GROUP BY c.relname
    ORDER BY c.relname";

#[tokio::test]
async fn roles_may_do_what_they_are_for() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let roles = "engine    app       readonly  monitor   analytics backup";
    let mut granted = format!("{:<29}{roles}\n", "");
    granted.push_str(&lines(&mut connection, PRIVILEGES).await);
    expect![[r#"
                                     engine    app       readonly  monitor   analytics backup
        _sqlx_migrations             S---      ----      ----      ----      ----      S---
        answer_marks                 ----      SIUD      ----      ----      ----      S---
        answers                      SIU-      S-u-      s---      ----      ----      S---
        attempt_evidence             SIUD      S---      ----      ----      ----      S---
        attempt_summaries            S---      ----      ----      ----      ----      S---
        attempt_timeline             SIUD      S---      ----      ----      ----      S---
        audit_chains                 SIUD      S---      ----      ----      ----      S---
        audit_logs                   S-u-      S---      ----      ----      ----      S---
        course_categories            ----      SIUD      S---      ----      ----      S---
        course_enrollments           S---      SIUD      S---      ----      ----      S---
        courses                      S---      SIUD      S---      ----      ----      S---
        engine_nodes                 SIUD      ----      ----      S---      ----      S---
        engine_outages               SIUD      ----      ----      S---      ----      S---
        engine_secrets               SIUD      ----      ----      ----      ----      S---
        exam_accommodations          S---      SIUD      s---      ----      ----      S---
        exam_attempt_keys            SIU-      S-u-      s---      ----      ----      S---
        exam_attempts                SIU-      S-u-      s---      ----      ----      S---
        exam_questions               ----      SIUD      ----      ----      ----      S---
        exam_reliability             ----      ----      S---      ----      S---      S---
        exam_sections                ----      SIUD      S---      ----      ----      S---
        exam_statistics              ----      ----      S---      ----      S---      S---
        exam_version_questions       S---      SI--      ----      ----      ----      S---
        exam_versions                S---      SI--      ----      ----      ----      S---
        exams                        S---      SIUD      s---      ----      ----      S---
        item_scores                  ----      ----      ----      ----      ----      S---
        key_corrections              S---      SI--      ----      ----      ----      S---
        login_attempts               -I--      S---      ----      ----      ----      S---
        maintenance_runs             SIUD      ----      ----      S---      ----      S---
        organization_hierarchy       ----      ----      S---      ----      ----      S---
        organizations                S---      SIUD      s---      ----      ----      S---
        partition_runway             ----      ----      S---      S---      ----      S---
        proctor_logs                 SI--      S---      ----      ----      ----      S---
        question_categories          ----      SIUD      S---      ----      ----      S---
        question_media               ----      SIUD      ----      ----      ----      S---
        question_statistics          ----      ----      S---      ----      S---      S---
        questions                    ----      SIUD      s---      ----      ----      S---
        security_events              ----      S-u-      ----      ----      ----      S---
        staff_commands               SIUD      ----      ----      ----      ----      S---
        user_activity_logs           -I--      SI--      ----      ----      ----      S---
        user_performance             ----      ----      S---      ----      S---      S---
        user_roles                   S---      SIUD      S---      ----      ----      S---
        user_sessions                SIUD      s-u-      ----      ----      ----      S---
        users                        S-u-      sIUD      s---      ----      ----      S---
        users_masked                 ----      ----      ----      ----      S---      S---
        visible_exam_statistics      ----      S---      ----      ----      ----      S---
        visible_question_statistics  ----      S---      ----      ----      ----      S---
    "#]]
    .assert_eq(&granted);
    database.remove().await;
}

#[tokio::test]
async fn nothing_goes_past_the_policies() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    // A policy does not hold for a partition that is named directly.
    let partitions = "
        SELECT format('%s: %s', c.relname, r.rolname)
        FROM pg_class AS c CROSS JOIN pg_roles AS r
        WHERE c.relnamespace = 'public'::regnamespace AND c.relispartition
          AND r.rolname LIKE 'invigil\\_%' AND r.rolname <> 'invigil_backup'
          AND has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE')";
    assert_eq!(lines(&mut connection, partitions).await, "");

    // Policies bind every table that the roles of people read.
    let unbound = "
        SELECT c.relname::text FROM pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
          AND NOT c.relispartition AND NOT c.relrowsecurity
          AND has_any_column_privilege('invigil_app', c.oid, 'SELECT, INSERT, UPDATE')";
    assert_eq!(lines(&mut connection, unbound).await, "audit_chains\n");

    // Functions with the owner's rights run only for their grantees.
    let open = "
        SELECT p.oid::regprocedure::text FROM pg_proc AS p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
          AND (has_function_privilege('invigil_readonly', p.oid, 'EXECUTE')
               OR p.proconfig IS NULL OR NOT p.proconfig[1] LIKE 'search_path=%')";
    assert_eq!(lines(&mut connection, open).await, "");
    database.remove().await;
}

#[tokio::test]
async fn who_looks_on_reads_no_secret() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    // Every column is found by its name, so that a new table with such a one counts too.
    let readable = "
        SELECT format('%s: %s.%s', r.rolname, c.relname, a.attname)
        FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid
        CROSS JOIN pg_roles AS r
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
          AND a.attnum > 0 AND NOT a.attisdropped
          AND r.rolname IN ('invigil_readonly', 'invigil_analytics', 'invigil_monitor')
          AND a.attname IN (
              'password_hash', 'exam_password', 'access_code_hmac', 'token_sha256', 'secret',
              'phone_sealed', 'phone_hmac', 'id_card_sealed', 'id_card_hmac', 'email', 'profile',
              'definition', 'definition_sha256', 'search_vector', 'content', 'explanation', 'answer',
              'user_answer', 'original_answer', 'control', 'receipt', 'seed', 'old_values',
              'new_values', 'billing_info', 'contact_info', 'reason', 'grading_notes', 'seal')
          AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')";
    assert_eq!(lines(&mut connection, readable).await, "");

    // Granted views are readable, with the policies and functions inside them.
    let mut faults = Vec::new();
    for role in ["invigil_readonly", "invigil_analytics"] {
        let granted = format!(
            "SELECT format('SELECT %s FROM %I', string_agg(quote_ident(a.attname), ', '), c.relname)
             FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
               AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
               AND has_column_privilege('{role}', c.oid, a.attnum, 'SELECT')
             GROUP BY c.relname ORDER BY c.relname"
        );
        for query in lines(&mut connection, &granted).await.lines() {
            let found = crate::session::as_role(&mut connection, role, query).await;
            if !found.ends_with(" rows") || found == "0 rows" && !query.contains("_masked") {
                faults.push(format!("{role}: {found}: {query}"));
            }
        }
    }
    none(&faults);
    database.remove().await;
}

/// The engine's log-in is of its role, and its policies let it see everything.
#[tokio::test]
async fn the_engine_starts_with_its_role_alone() {
    let Some(database) = world().await else {
        return;
    };
    let between = if database.url.contains('?') { '&' } else { '?' };
    let url = format!(
        "{}{between}options=-c%20role%3Dinvigil_engine",
        database.url
    );
    let store = PostgresStore::connect(&url, 1).await.unwrap();
    store.run_maintenance(Timestamp::from_ms(0)).await.unwrap();
    let teacher = store
        .read_credentials(&"b_teacher1".into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(teacher.person.role, PersonRole::Teacher);
    let listed = store.list_exams().await.unwrap();
    assert_eq!(listed.len(), 6);
    // Evidence is announced, confirmed, found and forgotten.
    let attempt = AttemptId(130);
    let mut row = store.list_files(attempt).await.unwrap().remove(0);
    row.id = "0".repeat(32).into();
    let allowed = EvidenceQuota {
        max_files: 9,
        since: Timestamp::from_ms(0),
    };
    let announced = store.announce_file(&row, allowed).await.unwrap();
    assert_eq!(announced, AnnounceOutcome::Kept);
    assert!(store.confirm_file(attempt, &row.id, row.at).await.unwrap());
    let late = row.at + Duration::from_hours(1);
    assert_eq!(store.list_expired(late, late, 9).await.unwrap().len(), 7);
    store.delete_rows(&[row.id]).await.unwrap();
    assert_eq!(store.list_files(attempt).await.unwrap().len(), 1);
    drop(store);
    database.remove().await;
}
