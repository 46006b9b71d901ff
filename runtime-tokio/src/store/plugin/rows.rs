//! The rows of the plugin's store: each change of an agent as SQL, and back.

use std::collections::BTreeMap;

use selvedge_core::{
    Time, Wall,
    id::{AgentId, ChannelId, GuildId, MessageId, TurnId, UserId},
    plugin::kept::{
        Change, Cursor, Kept, KeptAgent, KeptChannel, Mark, Notice, TurnRecord, TurnState,
    },
};
use serde::Serialize;
use sqlx::{Row as _, SqliteConnection, query, sqlite::SqliteRow};

use super::Owner;

/// The row of an agent, made where it is not there.
pub(super) async fn agent(db: &mut SqliteConnection, owner: &Owner) -> sqlx::Result<i64> {
    if let Some(known) = known_agent(db, owner).await? {
        return Ok(known);
    }
    query("INSERT INTO agents (center, agent) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(&owner.center)
        .bind(owner.agent.as_str())
        .execute(&mut *db)
        .await?;
    known_agent(db, owner)
        .await?
        .ok_or(sqlx::Error::RowNotFound)
}

async fn known_agent(db: &mut SqliteConnection, owner: &Owner) -> sqlx::Result<Option<i64>> {
    let found = query("SELECT id FROM agents WHERE center = ? AND agent = ?")
        .bind(&owner.center)
        .bind(owner.agent.as_str())
        .fetch_optional(db)
        .await?;
    found.map(|row| row.try_get(0)).transpose()
}

/// Rows as they are from now on, each at most once.
///
/// What a busy agent has many of is one statement for all of them, with the rows as JSON: going to
/// SQLite's thread and back for each would take far longer than all that is done there.
pub(super) async fn write(
    db: &mut SqliteConnection,
    agent: i64,
    batch: &[Change],
) -> sqlx::Result<()> {
    let (mut channels, mut turns, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for change in batch {
        let query = match change {
            Change::Agent(KeptAgent {
                name,
                user,
                alive_at,
            }) => query("UPDATE agents SET name = ?2, user = ?3, alive_at = ?4 WHERE id = ?1")
                .bind(agent)
                .bind(name.as_deref())
                .bind(user.as_ref().map(UserId::as_str))
                .bind(alive_at.map(micros)),
            Change::Guild(guild) => {
                query("INSERT INTO guilds (agent, guild) VALUES (?, ?) ON CONFLICT DO NOTHING")
                    .bind(agent)
                    .bind(guild.as_str())
            }
            Change::NoChannel(guild, channel) => {
                query("DELETE FROM channels WHERE agent = ? AND guild = ? AND channel = ?")
                    .bind(agent)
                    .bind(guild.as_str())
                    .bind(channel.as_str())
            }
            Change::Channel(guild, channel, row) => {
                channels.push(channel_row(guild, channel, row));
                continue;
            }
            Change::Turn(turn, record) => {
                turns.push(turn_row(turn, record)?);
                continue;
            }
            Change::NoTurn(turn) => {
                gone.push(turn.as_str());
                continue;
            }
        };
        query.execute(&mut *db).await?;
    }
    const CHANNELS: &str = "INSERT OR REPLACE INTO channels SELECT ?1, value ->> 0, value ->> 1, \
        value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, \
        value ->> 9 FROM json_each(?2)";
    const TURNS: &str = "INSERT OR REPLACE INTO turns SELECT ?1, value ->> 0, value ->> 1, \
        value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, \
        value ->> 9, value ->> 10 FROM json_each(?2)";
    const GONE: &str = "DELETE FROM turns WHERE agent = ?1 AND turn IN \
        (SELECT value FROM json_each(?2))";
    write_all(db, CHANNELS, agent, &channels).await?;
    write_all(db, TURNS, agent, &turns).await?;
    write_all(db, GONE, agent, &gone).await
}

/// Does the same for each of these rows of an agent, if there are any.
async fn write_all<T: Serialize>(
    db: &mut SqliteConnection,
    statement: &'static str,
    agent: i64,
    rows: &[T],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = serde_json::to_string(rows).map_err(unwritable)?;
    query(statement)
        .bind(agent)
        .bind(rows)
        .execute(db)
        .await
        .map(drop)
}

/// A row of `channels`, but for the agent.
fn channel_row<'c>(
    guild: &'c GuildId,
    channel: &'c ChannelId,
    row: &'c KeptChannel,
) -> impl Serialize + use<'c> {
    let KeptChannel {
        cursor,
        context_from,
        left_at,
        notice,
        missed_to,
    } = row;
    let at = cursor.as_ref().and_then(|cursor| cursor.at.as_ref());
    (
        guild,
        channel,
        cursor.as_ref().map(|cursor| cursor.seq.cast_signed()),
        at.map(|at| &at.id),
        at.map(|at| at.created_at.as_millis()),
        context_from.cast_signed(),
        left_at.map(micros),
        notice.skipped.cast_signed(),
        notice.recovered,
        missed_to.cast_signed(),
    )
}

/// A row of `turns`, but for the agent.
fn turn_row<'c>(
    turn: &'c TurnId,
    record: &'c TurnRecord,
) -> sqlx::Result<impl Serialize + use<'c>> {
    Ok((
        turn,
        &record.guild,
        &record.channel,
        serde_json::to_string(&record.messages).map_err(unwritable)?,
        record.attempt,
        record.context_from.cast_signed(),
        word(record.state),
        record.owes_pass,
        record.notice.skipped.cast_signed(),
        record.notice.recovered,
        record.notice.rewake,
    ))
}

fn unwritable(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Encode(error.into())
}

/// Everybody of whom anything is kept.
pub(super) async fn owners(db: &mut SqliteConnection) -> sqlx::Result<Vec<Owner>> {
    let rows = query("SELECT center, agent FROM agents ORDER BY id");
    let rows = rows.fetch_all(db).await?;
    let owners = rows.iter().map(|row| {
        Ok(Owner {
            center: row.try_get("center")?,
            agent: id(row, "agent", AgentId::new)?,
        })
    });
    owners.collect()
}

/// Everything that is kept of an agent.
pub(super) async fn load(db: &mut SqliteConnection, owner: &Owner) -> sqlx::Result<Kept> {
    let found = query("SELECT id, name, user, alive_at FROM agents WHERE center = ? AND agent = ?")
        .bind(&owner.center)
        .bind(owner.agent.as_str())
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = found else {
        return Ok(Kept::default());
    };
    let agent: i64 = row.try_get("id")?;
    let mut kept = Kept {
        agent: KeptAgent {
            name: row.try_get("name")?,
            user: optional(&row, "user", UserId::new)?,
            alive_at: time(&row, "alive_at")?,
        },
        ..Kept::default()
    };
    let guilds = query("SELECT guild FROM guilds WHERE agent = ?").bind(agent);
    for row in guilds.fetch_all(&mut *db).await? {
        kept.guilds
            .insert(id(&row, "guild", GuildId::new)?, BTreeMap::new());
    }
    let channels = query("SELECT * FROM channels WHERE agent = ?").bind(agent);
    for row in channels.fetch_all(&mut *db).await? {
        let guild = id(&row, "guild", GuildId::new)?;
        let channel = id(&row, "channel", ChannelId::new)?;
        let known = kept.guilds.entry(guild).or_default();
        known.insert(channel, read_channel(&row)?);
    }
    let turns = query("SELECT * FROM turns WHERE agent = ?").bind(agent);
    for row in turns.fetch_all(&mut *db).await? {
        let turn = id(&row, "turn", TurnId::new)?;
        kept.turns.insert(turn, read_turn(&row)?);
    }
    Ok(kept)
}

fn read_channel(row: &SqliteRow) -> sqlx::Result<KeptChannel> {
    let seq: Option<i64> = row.try_get("seq")?;
    let message = optional(row, "message", MessageId::new)?;
    let created_at: Option<i64> = row.try_get("created_at")?;
    let at = message.zip(created_at).map(|(id, created_at)| Mark {
        id,
        created_at: Wall::from_millis(created_at),
    });
    Ok(KeptChannel {
        cursor: seq.map(|seq| Cursor {
            seq: seq.cast_unsigned(),
            at,
        }),
        context_from: number(row, "context_from")?,
        left_at: time(row, "left_at")?,
        notice: Notice {
            skipped: number(row, "skipped")?,
            recovered: row.try_get("recovered")?,
            rewake: false,
        },
        missed_to: number(row, "missed_to")?,
    })
}

fn read_turn(row: &SqliteRow) -> sqlx::Result<TurnRecord> {
    let messages: &str = row.try_get("messages")?;
    let messages = serde_json::from_str(messages);
    let state: &str = row.try_get("state")?;
    let states = [TurnState::Open, TurnState::Ended, TurnState::Parked];
    let state = states.into_iter().find(|known| word(*known) == state);
    Ok(TurnRecord {
        guild: id(row, "guild", GuildId::new)?,
        channel: id(row, "channel", ChannelId::new)?,
        messages: messages.map_err(|_| unreadable("messages"))?,
        attempt: row.try_get("attempt")?,
        context_from: number(row, "context_from")?,
        state: state.ok_or_else(|| unreadable("state"))?,
        owes_pass: row.try_get("owes_pass")?,
        notice: Notice {
            skipped: number(row, "skipped")?,
            recovered: row.try_get("recovered")?,
            rewake: row.try_get("rewake")?,
        },
    })
}

fn word(state: TurnState) -> &'static str {
    match state {
        TurnState::Open => "open",
        TurnState::Ended => "ended",
        TurnState::Parked => "parked",
    }
}

/// SQLite knows signed numbers alone: the greatest `seq` that a guild may send is written as a
/// negative one, and read back as what it was.
fn number(row: &SqliteRow, column: &str) -> sqlx::Result<u64> {
    row.try_get(column).map(i64::cast_unsigned)
}

fn micros(time: Time) -> i64 {
    time.as_micros().cast_signed()
}

fn time(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Time>> {
    let micros: Option<i64> = row.try_get(column)?;
    Ok(micros.map(|micros| Time::from_micros(micros.cast_unsigned())))
}

fn id<T>(row: &SqliteRow, column: &str, new: fn(&str) -> Option<T>) -> sqlx::Result<T> {
    optional(row, column, new)?.ok_or_else(|| unreadable(column))
}

fn optional<T>(
    row: &SqliteRow,
    column: &str,
    new: fn(&str) -> Option<T>,
) -> sqlx::Result<Option<T>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| new(text).ok_or_else(|| unreadable(column)))
        .transpose()
}

fn unreadable(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("the column `{column}` cannot be read").into())
}
