"""The broker inside the demo's process."""

import asyncio
from typing import Any

from services.embedded import embedded_broker, free_port
from shared.health import listen
from shared.mqtt import MqttLink

CLIENTS = 12
TOPICS = 20


async def test_clients_may_connect_while_others_subscribe() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with embedded_broker(free_port()) as settings:
        links = [MqttLink(settings) for _ in range(CLIENTS)]
        for number, link in enumerate(links):
            for topic in range(TOPICS):
                link.subscribe(f"from/{number}/{topic}/#", lambda topic, payload: None)
        tasks = [asyncio.create_task(link.run()) for link in links]
        await asyncio.gather(*(link.connected.wait() for link in links))
        for number in range(CLIENTS):  # something retained, so that the broker has to wait between topics
            for topic in range(TOPICS):
                await links[0].publish(f"from/{number}/{topic}/x", b"x", retain=True)
        late = [MqttLink(settings) for _ in range(CLIENTS)]
        for number, link in enumerate(late):
            for topic in range(TOPICS):
                link.subscribe(f"late/{number}/{topic}", lambda topic, payload: None)
        tasks += [asyncio.create_task(link.run()) for link in late]
        await asyncio.gather(*(link.connected.wait() for link in late))
        assert [link.connections for link in links + late] == [1] * (2 * CLIENTS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert complaints == []


def test_a_free_port_is_given_once_and_never_to_an_outgoing_connection() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)
    assert max(ports) < 32_768  # where Linux's range for outgoing connections begins
    with listen("127.0.0.1", ports[0]):
        assert free_port(ports[0]) != ports[0]
    assert free_port(ports[1]) == ports[1]
