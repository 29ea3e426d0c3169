"""NUMBERS of OpenFlow and its Nicira extension that more than one module needs; pure data.

`gen_docs.py` writes them to of_number.pxd for the compiled modules. Port numbers are in OpenFlow 1.1's 32-bit form.
"""

from __future__ import annotations

# Versions as they stand in the header of a message.
OFP10, OFP11, OFP12, OFP13, OFP14 = 1, 2, 3, 4, 5

# Who defines an extension: experimenter (vendor) ids, and the message and action types that lead to them.
NICIRA, ONF = 0x00002320, 0x4F4E4600
OFPT_VENDOR, OFPAT_VENDOR = 4, 0xFFFF

OFPMT_OXM = 1

# Ports that are none; all from OFPP_MAX on are reserved (OFPP10_MAX among OpenFlow 1.0's 16-bit numbers), OFPP_UNSET is
# an actset_output without an output, OFPP_ANY is OpenFlow 1.0's OFPP_NONE.
OFPP10_MAX, OFPP_MAX, OFPP_UNSET = 0xFF00, 0xFFFFFF00, 0xFFFFFFF7
OFPP_IN_PORT, OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD = 0xFFFFFFF8, 0xFFFFFFF9, 0xFFFFFFFA, 0xFFFFFFFB
OFPP_ALL, OFPP_CONTROLLER, OFPP_LOCAL, OFPP_ANY = 0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF

OFPG_ANY = 0xFFFFFFFF

# Table 254 is the switch's own and hidden; in a resubmit 255 means the table where it stands.
OPENFLOW_TABLES = 254
TABLE_ALL = 0xFF

# Of a flow: no cookie was given; it stays as it is.
COOKIE_NONE = 0xFFFF_FFFF_FFFF_FFFF

NUMBERS: dict[str, int] = {name: value for name, value in list(globals().items()) if isinstance(value, int)}
