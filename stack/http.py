"""The few plain requests that the stack makes to Envoy's own listeners."""

import asyncio


async def request(port: int, path: str, *, method: str = "GET", seconds: float = 1.0) -> tuple[int, str]:
    """Returns status and body of one request on loopback. Raises OSError or TimeoutError for no response."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 0", "Connection: close"]
            writer.write("\r\n".join([*head, "", ""]).encode())
            answer = (await reader.read()).decode(errors="replace")
        finally:
            writer.close()
    first, _, rest = answer.partition("\r\n")
    parts = first.split(" ")
    if len(parts) < 2 or not parts[1].isdigit():
        raise OSError(f"no HTTP answer on port {port}")
    return int(parts[1]), rest.partition("\r\n\r\n")[2]
