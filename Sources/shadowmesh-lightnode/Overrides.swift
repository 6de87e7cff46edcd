import ArgumentParser

/// Flags that stand in for keys of the file, held to the same rules: their texts go through the same reader.
struct Overrides: ParsableArguments {
  @Option(help: ArgumentHelp("peer_id_file", valueName: "path")) var peerIDFile: String?
  @Option(help: ArgumentHelp("backbone_url", valueName: "url")) var backboneURL: String?
  @Option(help: ArgumentHelp("backbone_key", valueName: "hex")) var backboneKey: String?
  @Option(help: ArgumentHelp("backbone_ca_file", valueName: "path")) var backboneCAFile: String?
  @Option(help: ArgumentHelp("backbone_invite_file", valueName: "path")) var backboneInviteFile: String?
  @Flag(help: "allow_plain_http: true") var allowPlainHTTP = false
  @Option(help: "region") var region: String?
  @Option(help: ArgumentHelp("service_type: private or public", valueName: "type")) var serviceType: String?
  @Option(help: ArgumentHelp("state_directory", valueName: "path")) var stateDirectory: String?
  @Option(help: ArgumentHelp("listen_port", valueName: "port")) var listenPort: String?
  @Option(help: ArgumentHelp("port_mapping: auto or off", valueName: "mode")) var portMapping: String?
  @Option(
    name: .customLong("endpoint"),
    help: ArgumentHelp("endpoints; may be given several times", valueName: "address:port"))
  var endpoints: [String] = []
  @Option(
    name: .customLong("stun-server"),
    help: ArgumentHelp("stun_servers; may be given several times", valueName: "address:port"))
  var stunServers: [String] = []
  @Flag(help: "permit_loopback: true") var permitLoopback = false
  @Option(help: ArgumentHelp("tun_name", valueName: "name")) var tunName: String?
  @Option(help: ArgumentHelp("mtu", valueName: "bytes")) var mtu: String?
  @Option(help: ArgumentHelp("control_socket", valueName: "path")) var controlSocket: String?
  @Option(help: ArgumentHelp("control_group", valueName: "group")) var controlGroup: String?
  @Option(help: ArgumentHelp("metrics_listen: an address and port, or off", valueName: "address:port"))
  var metricsListen: String?
  @Option(help: ArgumentHelp("log_level", valueName: "level")) var logLevel: String?
  @Option(help: ArgumentHelp("relay_offer_mbps", valueName: "mbit/s")) var relayOfferMbps: String?
  @Option(help: ArgumentHelp("relay.operator", valueName: "name")) var relayOperator: String?
  @Option(help: ArgumentHelp("relay.admit: all or peers", valueName: "whom")) var relayAdmit: String?
  @Option(help: ArgumentHelp("relay.hops, 1 to 3", valueName: "count")) var relayHops: String?
  @Option(help: ArgumentHelp("relay.stream_port: TCP, 0 for none", valueName: "port"))
  var relayStreamPort: String?
  @Option(help: ArgumentHelp("passphrase_file", valueName: "path")) var passphraseFile: String?

  /// Keys with the texts given for them.
  var flags: [(key: String, values: [String])] {
    let single: [(String, String?)] = [
      ("peer_id_file", peerIDFile), ("backbone_url", backboneURL), ("backbone_key", backboneKey),
      ("backbone_ca_file", backboneCAFile), ("backbone_invite_file", backboneInviteFile),
      ("allow_plain_http", allowPlainHTTP ? "true" : nil), ("region", region),
      ("service_type", serviceType), ("state_directory", stateDirectory), ("listen_port", listenPort),
      ("port_mapping", portMapping),
      ("permit_loopback", permitLoopback ? "true" : nil), ("tun_name", tunName), ("mtu", mtu),
      ("control_socket", controlSocket), ("control_group", controlGroup),
      ("metrics_listen", metricsListen), ("log_level", logLevel), ("relay_offer_mbps", relayOfferMbps),
      ("relay.operator", relayOperator), ("relay.admit", relayAdmit), ("relay.hops", relayHops),
      ("relay.stream_port", relayStreamPort), ("passphrase_file", passphraseFile),
    ]
    let lists = [("endpoints", endpoints), ("stun_servers", stunServers)]
    return single.compactMap { key, value in value.map { (key: key, values: [$0]) } }
      + lists.compactMap { key, values in values.isEmpty ? nil : (key: key, values: values) }
  }
}
