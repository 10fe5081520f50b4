"""RabbitMQ through pika, and the only package that imports it: a lane of our own broker as a `broker.ports.Broker`."""

from broker.amqp.lane import RabbitLane, connect, connect_to
from broker.amqp.target import Certificate, ConnectionTarget, Password, target_of

__all__ = ["Certificate", "ConnectionTarget", "Password", "RabbitLane", "connect", "connect_to", "target_of"]
