"""A host of the plugin on the official SDK for Python: it echoes every message and ends its turn.

Arguments: the plugin's command, as a JSON array. It says what it sees in lines of JSON, and ends
when its input does.
"""

import asyncio
import json
import os
import sys
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client.extension import ClientExtension, NotificationBinding
from pydantic import BaseModel

PLEXUM = "notifications/plexum/channel/inbound"
CLAUDE = "notifications/claude/channel"


class Plexum(BaseModel):
    turn_id: str
    channel: dict[str, Any]
    messages: list[dict[str, Any]]


class Claude(BaseModel):
    content: str
    meta: dict[str, str]


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


class Inbounds(ClientExtension):
    identifier = "selvedge.test/inbounds"
    client: Client

    def notifications(self) -> list[NotificationBinding[Any]]:
        return [
            NotificationBinding(method=PLEXUM, params_type=Plexum, handler=self.plexum),
            NotificationBinding(method=CLAUDE, params_type=Claude, handler=self.claude),
        ]

    async def plexum(self, turn: Plexum) -> None:
        last = turn.messages[-1]
        channel_id = turn.channel["id"]
        await self.echo(PLEXUM, turn.turn_id, channel_id, last["id"], last["content"])

    async def claude(self, turn: Claude) -> None:
        meta = turn.meta
        where = meta["turn_id"], meta["channel_id"], meta["message_id"]
        await self.echo(CLAUDE, *where, turn.content)

    async def echo(self, method: str, turn: str, channel: str, message: str, text: str) -> None:
        say(method=method, content=text)
        answer = {"channel_id": channel, "reply_to": message, "content": f"echo: {text}"}
        sent = await self.call("send", **answer)
        done = await self.call("turn_done", turn_id=turn)
        say(sent=sent["message_id"], done=done["done"])

    async def call(self, tool: str, /, **wanted: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, wanted)
        if result.is_error:
            return {"failed": result.content[0].text}
        return result.structured_content


async def main() -> None:
    command, *args = json.loads(sys.argv[1])
    plugin = StdioServerParameters(command=command, args=args, env=dict(os.environ))
    inbounds = Inbounds()
    async with Client(plugin, extensions=[inbounds]) as client:
        inbounds.client = client
        tools = (await client.list_tools()).tools
        say(
            server=client.server_info.name,
            experimental=client.server_capabilities.experimental or {},
            tools=len(tools),
        )
        lobby = {"name": "lobby", "x_type": "general", "is_public": True}
        while "failed" in (made := await inbounds.call("create_channel", **lobby)):
            await asyncio.sleep(0.05)
        live = False
        while not live:
            await asyncio.sleep(0.05)
            channels = (await inbounds.call("list_channels"))["channels"]
            same = (known for known in channels if known["channel_id"] == made["channel_id"])
            live = any(known["live"] for known in same)
        say(lobby=made["channel_id"])
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
