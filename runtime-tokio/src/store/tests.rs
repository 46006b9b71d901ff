//! A database is private, moves up through its versions or not at all, and refuses in words.

use super::*;

const TOY: Schema = Schema {
    kind: "toy",
    application_id: 7,
    migrations: &["CREATE TABLE a (x INTEGER)", "CREATE TABLE b (x INTEGER)"],
    exclusive: true,
};

#[tokio::test]
async fn a_file_is_private_and_moves_up_through_the_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.sqlite");
    let first = Schema {
        migrations: &["CREATE TABLE a (x INTEGER)"],
        ..TOY
    };
    for schema in [&first, &TOY, &TOY] {
        let mut connection = open(&path, schema).await.unwrap();
        sqlx::query("INSERT INTO a VALUES (1)")
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
    let mut connection = open(&path, &TOY).await.unwrap();
    let (rows,): (i64,) = sqlx::query_as("SELECT (SELECT count(*) FROM a) + count(*) FROM b")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(rows, 3);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    connection.close().await.unwrap();

    let error = open(&path, &first).await.unwrap_err();
    assert!(matches!(
        error,
        StoreError::Newer {
            found: 2,
            known: 1,
            ..
        }
    ));
    assert!(
        error.to_string().contains("run the newer program"),
        "{error}"
    );
    let other = Schema {
        application_id: 8,
        ..TOY
    };
    let error = open(&path, &other).await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_held_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.sqlite");
    let held = open(&path, &TOY).await.unwrap();
    let error = open(&path, &TOY).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    held.close().await.unwrap();
    open(&path, &TOY).await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("toy.sqlite");
    let error = open(&path, &TOY).await.unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error}");
    std::fs::write(folder.path().join("text"), "not a database at all").unwrap();
    let error = open(&folder.path().join("text"), &TOY).await.unwrap_err();
    assert!(matches!(error, StoreError::Sqlite { .. }), "{error}");
}

/// How many rows the table `a` of a file has, with the version of the file.
async fn rows(path: &Path) -> (i64, i64) {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let rows = "SELECT (SELECT count(*) FROM a), user_version FROM pragma_user_version";
    let rows = sqlx::query_as(rows).fetch_one(&mut connection).await;
    connection.close().await.unwrap();
    rows.unwrap()
}

/// A file of the first version with that many rows.
async fn first_version(path: &Path, rows: i64) {
    let first = Schema {
        migrations: &["CREATE TABLE a (x INTEGER)"],
        ..TOY
    };
    let mut connection = open(path, &first).await.unwrap();
    let fill = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?1)
                INSERT INTO a SELECT x FROM n";
    sqlx::query(fill)
        .bind(rows)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_file_as_it_was() {
    let broken =
        "CREATE TABLE b (x INTEGER); INSERT INTO a VALUES (0); INSERT INTO nowhere VALUES (1)";
    // No page can be added any more, as on a disk that is full.
    let full = "PRAGMA max_page_count = 1; CREATE TABLE b AS SELECT x, randomblob(4000) FROM a";
    for (step, why) in [
        (broken, "no such table"),
        (full, "database or disk is full"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toy.sqlite");
        first_version(&path, 100).await;
        let steps = Box::leak(Box::new([
            "CREATE TABLE a (x INTEGER)",
            "CREATE TABLE c (x)",
            step,
        ]));
        let newer = Schema {
            migrations: steps,
            ..TOY
        };
        let error = open(&path, &newer).await.unwrap_err().to_string();
        let said = "cannot be brought from version 1 of the toy schema to 3: ";
        assert!(error.contains(said) && error.contains(why), "{error}");
        assert_eq!(rows(&path).await, (100, 1), "{error}");
        // What failed is mended, and the data is there.
        let mended = Schema {
            migrations: &["", "CREATE TABLE c (x)", "ALTER TABLE a ADD COLUMN y"],
            ..TOY
        };
        open(&path, &mended).await.unwrap().close().await.unwrap();
        assert_eq!(rows(&path).await, (100, 3));
    }
}

#[tokio::test]
async fn a_file_of_the_newest_version_is_opened_where_nothing_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.sqlite");
    for _ in 0..2 {
        open(&path, &TOY).await.unwrap().close().await.unwrap();
    }
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    let connection = open(&path, &TOY).await.unwrap();
    let log = backup::beside(&path, "-wal");
    let written = std::fs::metadata(log).map_or(0, |log| log.len());
    assert_eq!(written, 0, "opening it writes nothing");
    connection.close().await.unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().modified().unwrap(),
        before
    );
}
