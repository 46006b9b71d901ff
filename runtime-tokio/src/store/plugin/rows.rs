//! The rows of the plugin's store: each change of an agent as SQL, and back.

use std::collections::BTreeMap;

use selvedge_core::{
    Time, Wall,
    id::{AgentId, ChannelId, GuildId, MessageId, TurnId, UserId},
    plugin::kept::{
        Change, Cursor, Kept, KeptAgent, KeptChannel, Mark, Notice, TurnRecord, TurnState,
    },
};
use sqlx::{Row as _, SqliteConnection, query, sqlite::SqliteRow};

use super::Owner;

/// The row of an agent, made where it is not there.
pub(super) async fn agent(db: &mut SqliteConnection, owner: &Owner) -> sqlx::Result<i64> {
    query("INSERT INTO agents (center, agent) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(&owner.center)
        .bind(owner.agent.as_str())
        .execute(&mut *db)
        .await?;
    query("SELECT id FROM agents WHERE center = ? AND agent = ?")
        .bind(&owner.center)
        .bind(owner.agent.as_str())
        .fetch_one(db)
        .await?
        .try_get(0)
}

/// One row as it is from now on.
pub(super) async fn write(
    db: &mut SqliteConnection,
    agent: i64,
    change: &Change,
) -> sqlx::Result<()> {
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
        Change::Channel(guild, channel, row) => {
            let KeptChannel {
                cursor,
                context_from,
                left_at,
                notice,
                missed_to,
            } = row;
            let at = cursor.as_ref().and_then(|cursor| cursor.at.as_ref());
            query("INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .bind(agent)
                .bind(guild.as_str())
                .bind(channel.as_str())
                .bind(cursor.as_ref().map(|cursor| cursor.seq.cast_signed()))
                .bind(at.map(|at| at.id.as_str()))
                .bind(at.map(|at| at.created_at.as_millis()))
                .bind(context_from.cast_signed())
                .bind(left_at.map(micros))
                .bind(notice.skipped.cast_signed())
                .bind(notice.recovered)
                .bind(missed_to.cast_signed())
        }
        Change::NoChannel(guild, channel) => {
            query("DELETE FROM channels WHERE agent = ? AND guild = ? AND channel = ?")
                .bind(agent)
                .bind(guild.as_str())
                .bind(channel.as_str())
        }
        Change::Turn(turn, record) => {
            let messages = serde_json::to_string(&record.messages);
            query("INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .bind(agent)
                .bind(turn.as_str())
                .bind(record.guild.as_str())
                .bind(record.channel.as_str())
                .bind(messages.map_err(|error| sqlx::Error::Encode(error.into()))?)
                .bind(record.attempt)
                .bind(record.context_from.cast_signed())
                .bind(word(record.state))
                .bind(record.owes_pass)
                .bind(record.notice.skipped.cast_signed())
                .bind(record.notice.recovered)
                .bind(record.notice.rewake)
        }
        Change::NoTurn(turn) => query("DELETE FROM turns WHERE agent = ? AND turn = ?")
            .bind(agent)
            .bind(turn.as_str()),
    };
    query.execute(db).await.map(drop)
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
