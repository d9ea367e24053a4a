"""What no expression can say: functions of single protocols, one file each, called as ``connext.transfer_id(params)``.

To add one, write its file with its `ProtocolFunction`, and name that here.
"""

from __future__ import annotations

from collections.abc import Mapping

from chainwatch.checker.protocols import arbitrum, connext
from chainwatch.checker.protocols.function import ProtocolFunction

__all__ = ["FUNCTIONS", "ProtocolFunction"]

FUNCTIONS: Mapping[str, ProtocolFunction] = {
    function.name: function for function in (arbitrum.TICKET_ID, connext.TRANSFER_ID)
}
"""By the names under which expressions call them."""
