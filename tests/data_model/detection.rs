//! Detection of attacks: at the threshold, not before, and once.

use crate::session::{lines, run, value, world};

/// Selects the findings at an instant, each with its person and address.
const FIND: &str = "
    SELECT format('%s %s %s %s', event_type, coalesce(user_id::text, '-'),
                  coalesce(host(ip_address), '-'), event_data)
    FROM detect_security_events(now()) ORDER BY 1";

/// A case below each threshold, a case at the threshold, and the findings then.
struct Case {
    just_not: &'static str,
    one_more: &'static str,
    found: &'static str,
    /// Moves all events out of the window.
    window: &'static str,
}

/// Cases of the four rules.
const CASES: [Case; 4] = [
    Case {
        // Log-ins of a person from an address count; other addresses and other people do
        // not.
        just_not: "INSERT INTO user_sessions
                       (token_sha256, user_id, created_at, expires_at, ip_address)
                   SELECT sha256(n::text::bytea), CASE WHEN n < 20 THEN 130 ELSE 131 END,
                          now() - interval '59 minutes', now() + interval '1 hour',
                          CASE WHEN n < 15 THEN inet '10.1.1.1' ELSE '10.1.1.2' END
                   FROM generate_series(5, 24) AS n",
        one_more: "INSERT INTO user_sessions
                       (token_sha256, user_id, created_at, expires_at, ip_address)
                   VALUES (sha256('more'), 130, now(), now() + interval '1 hour', '10.1.1.1')",
        found: "many_logins 130 10.1.1.1 {\"logins\": 11}\n",
        window: "60 minutes",
    },
    Case {
        // Different names from one address, in any spelling.
        just_not: "INSERT INTO login_attempts
                       (username, ip_address, success, attempted_at)
                   SELECT unnest(ARRAY['a', 'A', 'b', 'c', 'd', 'e']), inet '10.2.2.2', false,
                          now() - interval '14 minutes'
                   UNION ALL SELECT 'f', '10.2.2.2', true, now()
                   UNION ALL SELECT 'f', '10.2.2.3', false, now()",
        one_more: "INSERT INTO login_attempts (username, ip_address, success)
                   VALUES ('f', '10.2.2.2', false)",
        found: "password_guessing - 10.2.2.2 {\"names\": 6, \"tries\": 7}\n",
        window: "15 minutes",
    },
    Case {
        // The same name from many addresses.
        just_not: "INSERT INTO login_attempts
                       (username, user_id, ip_address, success, attempted_at)
                   SELECT CASE n WHEN 1 THEN 'A_admin' ELSE 'a_admin' END, 110,
                          inet '10.3.0.0' + n % 3, false, now() - interval '14 minutes'
                   FROM generate_series(1, 9) AS n
                   UNION ALL SELECT 'a_admin', 110, '10.3.0.0', true, now()
                   UNION ALL SELECT 'b_admin', 310, '10.3.0.0', false, now()",
        one_more: "INSERT INTO login_attempts (username, user_id, ip_address, success)
                   VALUES ('a_admin', 110, '10.3.0.0', false)",
        found: "failed_login_burst 110 - {\"name\": \"a_admin\", \"tries\": 10, \"addresses\": 3}\n",
        window: "15 minutes",
    },
    Case {
        // The same person with an open exam, and with closed ones.
        just_not: "INSERT INTO exam_attempt_keys (exam_id, exam_version_id, user_id, attempt_no,
                                                  started_at, closed_at, last_activity_at)
                   SELECT n, n, 130, 2, now(), CASE WHEN n > 120 THEN now() END,
                          now() - interval '59 minutes'
                   FROM unnest(ARRAY[120, 121, 220]) AS n
                   UNION ALL SELECT 121, 121, 131, 2, now(), NULL, now()",
        one_more: "UPDATE exam_attempt_keys SET closed_at = NULL
                   WHERE user_id = 130 AND exam_id = 121",
        found: "several_exams_at_once 130 - {\"exams\": 2}\n",
        window: "60 minutes",
    },
];

#[tokio::test]
async fn each_kind_is_found_at_its_threshold_and_once() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(&mut connection, "DELETE FROM security_events").await;
    for case in CASES {
        run(&mut connection, "BEGIN").await;
        run(&mut connection, case.just_not).await;
        assert_eq!(lines(&mut connection, FIND).await, "", "{}", case.just_not);
        run(&mut connection, case.one_more).await;
        assert_eq!(lines(&mut connection, FIND).await, case.found);
        assert_eq!(lines(&mut connection, FIND).await, "", "found already");

        // A finding comes once a window: again after the window has moved on, if the attack
        // goes on.
        let age = |by: &str| {
            format!("UPDATE security_events SET created_at = created_at - interval '{by}'")
        };
        run(&mut connection, &age(case.window)).await;
        run(
            &mut connection,
            "UPDATE security_events SET created_at = created_at + interval '1 second'",
        )
        .await;
        assert_eq!(
            lines(&mut connection, FIND).await,
            "",
            "the window still is: {}",
            case.found
        );
        run(&mut connection, &age("1 second")).await;
        assert_eq!(lines(&mut connection, FIND).await, case.found);

        // Events older than the window do not count.
        run(&mut connection, "DELETE FROM security_events").await;
        let older = format!(
            "UPDATE user_sessions SET created_at = created_at - interval '{0}';
             UPDATE login_attempts SET attempted_at = attempted_at - interval '{0}';
             UPDATE exam_attempt_keys SET last_activity_at = last_activity_at - interval '{0}'",
            case.window
        );
        run(&mut connection, &older).await;
        assert_eq!(lines(&mut connection, FIND).await, "", "{}", case.found);
        run(&mut connection, "ROLLBACK").await;
    }
    database.remove().await;
}

#[tokio::test]
async fn what_was_found_can_be_worked_on() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(&mut connection, "DELETE FROM security_events").await;
    for case in CASES {
        run(&mut connection, case.just_not).await;
        run(&mut connection, case.one_more).await;
    }
    let found = lines(&mut connection, FIND).await;
    assert_eq!(found.lines().count(), 4, "all at once: {found}");
    let kept = "SELECT count(*) FROM security_events
                WHERE status = 'new' AND description <> '' AND severity IN ('medium', 'high')";
    assert_eq!(value(&mut connection, kept).await, "4");
    database.remove().await;
}
