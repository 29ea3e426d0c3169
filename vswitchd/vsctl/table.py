"""COMMANDS: every command of vsctl as one row, and command lines split into them (TL.01).

A row says what the command needs from the database before it runs, so that one request fetches it all and no more.
The code of a command is imported when it is used.
"""

from __future__ import annotations

from vslib.errors import ConfigError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

ANY = 1 << 30

OVS, BRIDGES, PORTS, IFACES, CONTROLLERS, MANAGERS, TLS, AUTO_ATTACH, DATAPATHS, DATABASE = (
    "Open vSwitch commands", "Bridge commands", "Port commands (a bond counts as one port)",
    "Interface commands (a bond has several)", "Controller commands", "Manager commands",
    "TLS commands", "Auto Attach commands", "Datapath commands", "Database commands",
)  # fmt: skip

# Columns that commands need: "*" stands for what names of bridges, ports and interfaces are looked up in.
NAMES = (
    "Open_vSwitch.bridges Bridge.name Bridge.ports Port.name Port.fake_bridge Port.tag Port.interfaces Interface.name"
)


class Command:
    """One row: name, least and most arguments, their names, options, columns needed, code, group, sentence.

    An option that ends in "=" has an argument. ``needs`` is a list of TABLE.COLUMN, "*" for NAMES, or ":FUNCTION" of
    `vswitchd.vsctl.database`, which finds out from the arguments. ``code`` is MODULE.FUNCTION. ``writes`` is whether
    the command may change the database.
    """

    __slots__ = ("code", "group", "help", "least", "most", "name", "needs", "options", "usage", "writes")

    def __init__(
        self, name: str, least: int, most: int, usage: str, options: str, needs: str, code: str, group: str,
        help: str, *, writes: bool = True,
    ) -> None:  # fmt: skip
        self.name, self.least, self.most, self.usage, self.options = name, least, most, usage, options.split()
        self.needs, self.code, self.group, self.help, self.writes = needs, code, group, help, writes


def _row(*cells: Any) -> Command:
    return Command(*cells)


def _query(*cells: Any) -> Command:
    return Command(*cells, writes=False)


COMMANDS: tuple[Command, ...] = (
    _row("init", 0, 0, "", "", "", "other.init", OVS,
         "make the row that configuration hangs on, if the database is empty; every command does so too"),
    _query("show", 0, 0, "", "", ":needs_show", "show.show", OVS,
           "print the configuration as a tree: managers, bridges, controllers, ports, interfaces and their errors"),
    _row("emer-reset", 0, 0, "", "",
         "* Open_vSwitch.manager_options Open_vSwitch.ssl Bridge.controller Bridge.fail_mode Bridge.mirrors "
         "Bridge.netflow Bridge.sflow Bridge.ipfix Bridge.other_config Port.other_config "
         "Interface.ingress_policing_rate Interface.ingress_policing_burst", "other.emer_reset", OVS,
         "drop controllers, managers, TLS keys, mirrors, fail modes, flow exports, policing and other_config"),
    _row("add-br", 1, 3, "NEW-BRIDGE [PARENT] [NEW-VLAN]", "--may-exist", "*", "bridges.add_br", BRIDGES,
         "add a bridge; with PARENT and VLAN a fake one, whose ports are access ports of that VLAN in PARENT"),
    _row("del-br", 1, 1, "BRIDGE", "--if-exists", "*", "bridges.del_br", BRIDGES,
         "delete a bridge with its ports and the fake bridges in it"),
    _query("list-br", 0, 0, "", "--real --fake", "*", "bridges.list_br", BRIDGES,
           "print the names of all bridges, or of the real or fake ones only"),
    _query("br-exists", 1, 1, "BRIDGE", "", "*", "bridges.br_exists", BRIDGES,
           "exit with 2 if there is no bridge of that name"),
    _query("br-to-vlan", 1, 1, "BRIDGE", "", "*", "bridges.br_to_vlan", BRIDGES,
           "print the VLAN of a fake bridge, 0 for a real one"),
    _query("br-to-parent", 1, 1, "BRIDGE", "", "*", "bridges.br_to_parent", BRIDGES,
           "print the bridge that a fake bridge is in; a real one is its own parent"),
    _row("br-set-external-id", 2, 3, "BRIDGE KEY [VALUE]", "", "* Bridge.external_ids Port.external_ids",
         "bridges.br_set_external_id", BRIDGES, "set KEY of a bridge's external_ids to VALUE; remove it without VALUE"),
    _query("br-get-external-id", 1, 2, "BRIDGE [KEY]", "", "* Bridge.external_ids Port.external_ids",
           "bridges.br_get_external_id", BRIDGES, "print the value of KEY, or all pairs as KEY=VALUE"),
    _query("list-ports", 1, 1, "BRIDGE", "", "*", "ports.list_ports", PORTS,
           "print the names of a bridge's ports but its own"),
    _row("add-port", 2, ANY, "BRIDGE NEW-PORT [COLUMN[:KEY]=VALUE]...", "--may-exist", "*", "ports.add_port", PORTS,
         "add the network device NEW-PORT to a bridge and set columns of its Port row (as tag=9)"),
    _row("add-bond", 4, ANY, "BRIDGE BOND IFACE... [COLUMN[:KEY]=VALUE]...", "--may-exist --fake-iface", "*",
         "ports.add_bond", PORTS, "add a port that bonds two or more network devices"),
    _row("del-port", 1, 2, "[BRIDGE] PORT|IFACE", "--if-exists --with-iface", "*", "ports.del_port", PORTS,
         "delete a port, from BRIDGE if that is given; with --with-iface also by the name of one of its interfaces"),
    _query("port-to-br", 1, 1, "PORT", "", "*", "ports.port_to_br", PORTS, "print the bridge that has a port"),
    _row("add-bond-iface", 2, 2, "BOND IFACE", "--may-exist", "*", "ports.add_bond_iface", PORTS,
         "add a network device to a port, which makes a bond of it"),
    _row("del-bond-iface", 1, 2, "[BOND] IFACE", "--if-exists", "*", "ports.del_bond_iface", PORTS,
         "take an interface out of its bond"),
    _query("list-ifaces", 1, 1, "BRIDGE", "", "*", "ports.list_ifaces", IFACES,
           "print the names of the interfaces of a bridge's ports but its own"),
    _query("iface-to-br", 1, 1, "IFACE", "", "*", "ports.iface_to_br", IFACES,
           "print the bridge that has an interface"),
    _query("get-controller", 1, 1, "BRIDGE", "", "* Bridge.controller Controller.target",
           "controllers.get_controller", CONTROLLERS, "print the targets of a bridge's OpenFlow controllers"),
    _row("del-controller", 1, 1, "BRIDGE", "", "* Bridge.controller", "controllers.del_controller",
         CONTROLLERS, "remove a bridge's controllers"),
    _row("set-controller", 1, ANY, "BRIDGE TARGET...", "--inactivity-probe=", "* Bridge.controller",
         "controllers.set_controller", CONTROLLERS,
         "set a bridge's controllers: tcp:IP[:PORT], ssl:IP[:PORT], unix:FILE, ptcp:[PORT][:IP] or punix:FILE"),
    _query("get-fail-mode", 1, 1, "BRIDGE", "", "* Bridge.fail_mode", "controllers.get_fail_mode", CONTROLLERS,
           "print what a bridge does without its controllers"),
    _row("del-fail-mode", 1, 1, "BRIDGE", "", "* Bridge.fail_mode", "controllers.del_fail_mode", CONTROLLERS,
         "go back to the default, standalone"),
    _row("set-fail-mode", 2, 2, "BRIDGE MODE", "", "* Bridge.fail_mode", "controllers.set_fail_mode", CONTROLLERS,
         "without controllers, switch like any switch (standalone) or leave the flows as they are (secure)"),
    _query("get-manager", 0, 0, "", "", "Open_vSwitch.manager_options Manager.target", "controllers.get_manager",
           MANAGERS, "print the targets of the database's managers"),
    _row("del-manager", 0, 0, "", "", "Open_vSwitch.manager_options", "controllers.del_manager", MANAGERS,
         "remove the managers"),
    _row("set-manager", 1, ANY, "TARGET...", "--inactivity-probe=", "Open_vSwitch.manager_options",
         "controllers.set_manager", MANAGERS, "set whom the database server connects to or listens for"),
    _query("get-ssl", 0, 0, "", "",
           "Open_vSwitch.ssl SSL.private_key SSL.certificate SSL.ca_cert SSL.bootstrap_ca_cert", "controllers.get_ssl",
           TLS, "print the files of the switch's TLS keys"),
    _row("del-ssl", 0, 0, "", "", "Open_vSwitch.ssl", "controllers.del_ssl", TLS, "remove them"),
    _row("set-ssl", 3, 3, "PRIVATE-KEY CERTIFICATE CA-CERT", "--bootstrap", "Open_vSwitch.ssl",
         "controllers.set_ssl", TLS,
         "set them; with --bootstrap CA-CERT is fetched from the first peer if it is missing"),
    _row("add-aa-mapping", 3, 3, "BRIDGE I-SID VLAN", "", "* Bridge.auto_attach AutoAttach.mappings",
         "other.add_aa_mapping", AUTO_ATTACH, "map a service identifier to a VLAN"),
    _row("del-aa-mapping", 3, 3, "BRIDGE I-SID VLAN", "", "* Bridge.auto_attach AutoAttach.mappings",
         "other.del_aa_mapping", AUTO_ATTACH, "remove a mapping"),
    _query("get-aa-mapping", 1, 1, "BRIDGE", "", "* Bridge.auto_attach AutoAttach.mappings", "other.get_aa_mapping",
           AUTO_ATTACH, "print a bridge's mappings"),
    _row("add-zone-tp", 3, ANY, "DATAPATH zone=ZONE POLICY=SECONDS...", "--may-exist",
         "Open_vSwitch.datapaths Datapath.ct_zones CT_Zone.timeout_policy", "other.add_zone_tp", DATAPATHS,
         "give a conntrack zone timeouts, as udp_first=30"),
    _row("del-zone-tp", 2, 2, "DATAPATH zone=ZONE", "--if-exists", "Open_vSwitch.datapaths Datapath.ct_zones",
         "other.del_zone_tp", DATAPATHS, "take a conntrack zone's timeouts away"),
    _query("list-zone-tp", 1, 1, "DATAPATH", "",
           "Open_vSwitch.datapaths Datapath.ct_zones CT_Zone.timeout_policy CT_Timeout_Policy.timeouts",
           "other.list_zone_tp", DATAPATHS, "print the timeouts of all conntrack zones"),
    _query("list-dp-cap", 1, 1, "DATAPATH", "", "Open_vSwitch.datapaths Datapath.capabilities", "other.list_dp_cap",
           DATAPATHS, "print what a datapath can do"),
    _query("comment", 0, ANY, "[ARG]...", "", "", "database.comment", DATABASE,
           "do nothing, but be seen in the database's log if another command changes something"),
    _query("list", 1, ANY, "TABLE [RECORD]...", "--if-exists --columns=", ":needs_list", "database.list_rows", DATABASE,
           "print records, all without RECORD; --columns=A,B selects and orders columns"),
    _query("find", 1, ANY, "TABLE [COLUMN[:KEY]=VALUE]...", "--columns=", ":needs_find", "database.find", DATABASE,
           "print the records that fulfil all conditions; besides = there are != < > <= >= {=} {!=} {<} {>} {<=} {>=} "
           "{in} {not-in}"),
    _query("get", 2, ANY, "TABLE RECORD [COLUMN[:KEY]]...", "--if-exists --id=", ":needs_get", "database.get", DATABASE,
           "print values of a record; --id=@NAME names it for the commands that follow"),
    _row("set", 3, ANY, "TABLE RECORD COLUMN[:KEY]=VALUE...", "--if-exists", ":needs_set", "database.set_columns",
         DATABASE, "set values of a record"),
    _row("add", 4, ANY, "TABLE RECORD COLUMN [KEY=]VALUE...", "--if-exists", ":needs_column", "database.add", DATABASE,
         "add members to a set, or pairs to a map"),
    _row("remove", 4, ANY, "TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...", "--if-exists", ":needs_column",
         "database.remove", DATABASE, "take members out of a set, or pairs out of a map"),
    _row("clear", 3, ANY, "TABLE RECORD COLUMN...", "--if-exists", ":needs_get", "database.clear", DATABASE,
         "empty columns that may be empty"),
    _row("create", 2, ANY, "TABLE COLUMN[:KEY]=VALUE...", "--id=", ":needs_create", "database.create", DATABASE,
         "add a record and print its UUID; --id=@NAME names it for other commands of the line, --id=UUID chooses it"),
    _row("destroy", 1, ANY, "TABLE [RECORD]...", "--if-exists --all", ":needs_rows", "database.destroy", DATABASE,
         "delete records of a table whose records stay without being referred to"),
    _query("wait-until", 2, ANY, "TABLE RECORD [COLUMN[:KEY]=VALUE]...", "", ":needs_wait", "database.wait_until",
           DATABASE, "wait until a record exists and fulfils all conditions, those of find"),
)  # fmt: skip

BY_NAME = {row.name: row for row in COMMANDS}


class Call:
    """One command of the command line: its row, options (name -> argument or None), arguments, and what it printed."""

    __slots__ = ("args", "data", "listing", "made", "options", "output", "row")

    def __init__(self, row: Command, options: dict[str, str | None], args: list[str]) -> None:
        self.row, self.options, self.args = row, options, args
        self.reset()

    def reset(self) -> None:
        """Forget what it printed, before it runs again."""
        self.output: list[str] = []  # text that ends in a newline where it needs one
        self.data: Any = None  # the same as JSON, if that is more than the lines of the output
        self.listing: Any = None  # a vswitchd.vsctl.output.Listing instead of text
        self.made: Any = None  # a row whose UUID is printed once it is known

    def line(self, text: str) -> None:
        """Print a line."""
        self.output.append(text + "\n")

    def words(self) -> str:
        """Return the command as it was typed."""
        options = [name if value is None else f"{name}={value}" for name, value in self.options.items()]
        return " ".join([*options, self.row.name, *self.args])


def option_names() -> Iterator[str]:
    """Return the options of all commands without dashes, those with an argument with a trailing "=".

    Those of the database commands come first, as in the original's message about an ambiguous abbreviation.
    """
    seen: dict[str, None] = {}
    for row in sorted(COMMANDS, key=lambda row: row.group != DATABASE):
        for option in row.options:
            seen[option[2:]] = None
    return iter(seen)


def split(words: Sequence[str], first: dict[str, str | None]) -> list[Call]:
    """Return the commands of a line; ``first`` are options of the first one. Raises ConfigError for a wrong line."""
    calls: list[Call] = []
    start = 0
    for at in range(len(words) + 1):
        if at < len(words) and words[at] != "--":
            continue
        if at > start:
            calls.append(parse(words[start:at], first if not calls else {}))
        start = at + 1
    if not calls:
        raise ConfigError("missing command name (use --help for help)")
    return calls


def parse(words: Sequence[str], options: dict[str, str | None]) -> Call:
    """Return one command, ``options`` given to it elsewhere and then its words; raises ConfigError."""
    options = dict(options)
    at = 0
    while at < len(words) and words[at].startswith("-"):
        name, equals, value = words[at].partition("=")
        if name in options:
            raise ConfigError(f"'{words[at]}' option specified multiple times")
        options[name] = value if equals else None
        at += 1
    if at == len(words):
        raise ConfigError("missing command name (use --help for help)")
    name = words[at]
    row = BY_NAME.get(name)
    if row is None:
        raise ConfigError(f"unknown command '{name}'; use --help for help")
    for option, argument in options.items():
        _check_option(row, option, argument)
    args = list(words[at + 1 :])
    if len(args) < row.least:
        raise ConfigError(f"'{name}' command requires at least {row.least} arguments")
    if len(args) > row.most:
        said = f"'{name}' command takes at most {row.most} arguments"
        if any(arg.startswith("-") for arg in args):
            said += ' (note that options must precede command names and follow a "--" argument)'
        raise ConfigError(said)
    return Call(row, options, args)


def _check_option(row: Command, option: str, argument: str | None) -> None:
    if option + "=" in row.options:
        if argument is None:
            raise ConfigError(f"missing argument to '{option}' option on '{row.name}' command")
    elif option not in row.options:
        raise ConfigError(f"'{row.name}' command has no '{option}' option")
    elif argument is not None:
        raise ConfigError(f"'{option}' option on '{row.name}' does not accept an argument")
