"""The middleware over the loopback interface alone, without shared memory.

Fast DDS's shared memory does not survive the death of a process that uses it: others that write
then wait for a third of a second, or for a whole one (its port check, Fast DDS #6535), and a
process that is started again may not be heard at all (#5053). rmw_fastrtps switches it on for
ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST whatever the user's profile says; so the range is left to
the profile here, and the profile knows one address.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTICIPANTS = 60  # of the domain that are looked for; those that were killed count for a while
_PROFILE = f"""<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com">
  <profiles>
    <transport_descriptors>
      <transport_descriptor>
        <transport_id>loopback</transport_id>
        <type>UDPv4</type>
        <interfaceWhiteList><address>127.0.0.1</address></interfaceWhiteList>
        <maxInitialPeersRange>{PARTICIPANTS}</maxInitialPeersRange>
      </transport_descriptor>
    </transport_descriptors>
    <participant profile_name="loopback" is_default_profile="true">
      <rtps>
        <userTransports><transport_id>loopback</transport_id></userTransports>
        <useBuiltinTransports>false</useBuiltinTransports>
        <builtin>
          <initialPeersList>
            <locator><udpv4><address>127.0.0.1</address></udpv4></locator>
          </initialPeersList>
        </builtin>
      </rtps>
    </participant>
  </profiles>
</dds>
"""


@contextmanager
def loopback(folder: Path) -> Iterator[None]:
    """While it lasts, this process's environment, and so that of all that it starts, is so.

    A process reads the profile when it first takes part: enter before that.

    Args:
        folder: gets the profile; it is read when a process starts.
    """
    profile = folder / "loopback.xml"
    profile.write_text(_PROFILE)
    before = dict(os.environ)
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(profile)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
