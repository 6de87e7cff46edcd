import MeshCrypto
import MeshNode
import MeshWire
public import StrictConfiguration

extension LightNodeConfiguration {
  /// Reads the file, then the flags over it, and holds the result against the rules that span keys.
  ///
  /// `flags` are configuration keys with their text (`listen_port` → `["9001"]`), several for a list. Every
  /// refusal is a ``ConfigurationError`` with the file (or `command line`), the line, the key and what was
  /// expected.
  public static func load(path: String?, flags: [(key: String, values: [String])] = [])
    throws(ConfigurationError) -> LightNodeConfiguration
  {
    let file = try path.map { path throws(ConfigurationError) in try ConfigurationFile(path: path) }
    return try load(file: file, flags: flags)
  }

  static func load(file: ConfigurationFile?, flags: [(key: String, values: [String])])
    throws(ConfigurationError) -> LightNodeConfiguration
  {
    var configuration = LightNodeConfiguration()
    var sources: [ConfigurationFile] = []
    if let file { sources.append(file) }
    if !flags.isEmpty { sources.append(try ConfigurationFile(text: yaml(of: flags), name: "command line")) }
    var peerIDFileGiven = false
    var listenPortGiven = false
    for index in sources.indices {
      peerIDFileGiven = sources[index].contains("peer_id_file") || peerIDFileGiven
      listenPortGiven = sources[index].contains("listen_port") || listenPortGiven
      try configuration.read(&sources[index])
      try sources[index].finish()
    }
    if !peerIDFileGiven { configuration.peerIDFile = configuration.stateDirectory + "/peer_id.txt" }
    if !listenPortGiven, configuration.serviceType == .public {
      configuration.listenPort = .publicDefault
    }
    try configuration.check(sources)
    return configuration
  }

  /// One `key: value` line a flag. Digits and truth values stay plain, anything else is quoted, so that the
  /// flag's text can only ever be a value.
  private static func yaml(of flags: [(key: String, values: [String])]) -> String {
    func scalar(_ text: String) -> String {
      let plain =
        text == "true" || text == "false"
        || (!text.isEmpty && text.utf8.count < 10 && text.utf8.allSatisfy { (48...57).contains($0) })
      if plain { return text }
      // YAML folds some of what isn't printable ASCII, and refuses some: all of it is written by number.
      let escaped = text.unicodeScalars.map { scalar -> String in
        switch scalar {
        case "\"": "\\\""
        case "\\": "\\\\"
        case " "..."~": String(scalar)
        default: "\\U" + [24, 16, 8, 0].map { [UInt8(truncatingIfNeeded: scalar.value >> $0)].hex }.joined()
        }
      }
      return "\"\(escaped.joined())\""
    }
    let lists: Set = ["endpoints", "stun_servers"]
    func line(_ key: String, _ values: [String]) -> String {
      lists.contains(key)
        ? "\(key): [\(values.map(scalar).joined(separator: ", "))]" : "\(key): \(scalar(values.last ?? ""))"
    }
    // Keys of one group (`relay.hops`) are in one place: YAML takes no key twice.
    var lines = flags.filter { !$0.key.contains(".") }.map { line($0.key, $0.values) }
    let grouped = flags.filter { $0.key.contains(".") }.map { flag in
      (
        group: String(flag.key.prefix { $0 != "." }), key: String(flag.key.drop { $0 != "." }.dropFirst()),
        values: flag.values
      )
    }
    for group in Set(grouped.map(\.group)).sorted() {
      let members = grouped.filter { $0.group == group }.map { line($0.key, $0.values) }
      lines.append("\(group): {\(members.joined(separator: ", "))}")
    }
    return lines.joined(separator: "\n")
  }

  private mutating func read(_ file: inout ConfigurationFile) throws(ConfigurationError) {
    mode = try file.choice("mode", of: Mode.self) ?? mode
    peerIDFile = try file.path("peer_id_file") ?? peerIDFile
    backboneURL =
      try file.value("backbone_url", expected: "https://HOST[:PORT] or http://HOST[:PORT]") {
        BackboneAddress($0)?.text
      } ?? backboneURL
    region =
      try file.value("region", expected: "1 to 32 of a-z, 0-9, _ and -", parse: { Region($0) }) ?? region
    serviceType = try file.choice("service_type", of: ServiceType.self) ?? serviceType
    stateDirectory = try file.path("state_directory") ?? stateDirectory
    listenPort =
      try file.value("listen_port", expected: "auto, or a whole number from 1 to 65535") { ListenPort($0) }
      ?? listenPort
    portMapping =
      try file.value("port_mapping", expected: "one of: auto, off") {
        // YAML takes a bare off for a truth value.
        PortMappingMode(rawValue: $0 == "false" ? "off" : $0)
      } ?? portMapping
    permitLoopback = try file.boolean("permit_loopback") ?? permitLoopback
    let permitsLoopback = permitLoopback
    endpoints =
      try file.values(
        "endpoints", upTo: 8,
        expected: "an address and port that others can dial, like 203.0.113.7:8443 or "
          + "[2001:db8::7]:8443"
      ) { Self.endpoint($0, permitsLoopback: permitsLoopback) } ?? endpoints
    stunServers =
      try file.values(
        "stun_servers", upTo: 8, expected: "an address and port like 198.51.100.7:3478"
      ) { Self.endpoint($0, permitsLoopback: permitsLoopback) } ?? stunServers
    backboneKey =
      try file.value("backbone_key", expected: "a KeyHash of 64 hexadecimal digits") { KeyHash(hex: $0) }
      ?? backboneKey
    backboneCAFile = try file.path("backbone_ca_file") ?? backboneCAFile
    allowPlainHTTP = try file.boolean("allow_plain_http") ?? allowPlainHTTP
    tunName =
      try file.value(
        "tun_name", expected: "an interface name: 1 to 15 of letters, digits, _, - and .",
        parse: Self.interfaceName)
      ?? tunName
    mtu =
      try file.value(
        "mtu", expected: "auto, or a whole number from \(MTU.range.lowerBound) to \(MTU.range.upperBound)",
        parse: { MTU($0) }) ?? mtu
    controlSocket =
      try file.value("control_socket", expected: "an absolute path of at most 107 bytes") {
        $0.hasPrefix("/") && $0.utf8.count <= 107 && !$0.contains("\0") ? $0 : nil
      } ?? controlSocket
    controlGroup =
      try file.value("control_group", expected: "a group's name") {
        !$0.isEmpty && !$0.contains("\0") ? $0 : nil
      } ?? controlGroup
    metricsListener =
      try file.value("metrics_listen", expected: "ADDRESS:PORT or off") { text -> MetricsListener? in
        text == "off" || text == "false" ? .off : Endpoint(text).map { .address($0) }
      } ?? metricsListener
    logLevel = try file.choice("log_level", of: LogLevel.self) ?? logLevel
    relayOfferMbps = try file.integer("relay_offer_mbps", in: 0...100_000) ?? relayOfferMbps
    relayOperator =
      try file.value(
        "relay.operator", expected: "at most 32 of a-z, 0-9, _, - and .", parse: { OperatorName($0) })
      ?? relayOperator
    relayAdmit =
      try file.choice("relay.admit", of: NodeConfiguration.RelayAdmission.self) ?? relayAdmit
    relayHops = try file.integer("relay.hops", in: 1...3) ?? relayHops
    relayStreamPort = try file.integer("relay.stream_port", in: 0...65_535) ?? relayStreamPort
    backboneInviteFile = try file.path("backbone_invite_file") ?? backboneInviteFile
    passphraseFile = try file.path("passphrase_file") ?? passphraseFile
  }

  /// Holds live keys that were taken over against the keys that go on as they were.
  func checkRunning() throws(ConfigurationError) {
    try check([], name: "with the keys that need a restart as they are")
    for endpoint in endpoints where Self.endpoint("\(endpoint)", permitsLoopback: permitLoopback) == nil {
      throw ConfigurationError(
        file: "with the keys that need a restart as they are", line: nil, key: "endpoints",
        problem: "\(endpoint) is not an address that others can dial")
    }
  }

  private func check(_ sources: [ConfigurationFile], name: String = "defaults") throws(ConfigurationError) {
    func refusal(_ key: String, _ problem: String) -> ConfigurationError {
      sources.last { $0.contains(key) }?.refusal(key, problem)
        ?? ConfigurationError(file: name, line: nil, key: key, problem: problem)
    }
    if let backboneURL, let address = BackboneAddress(backboneURL), !address.isTLS, !address.isLoopback,
      !allowPlainHTTP
    {
      throw refusal(
        "backbone_url",
        "\(backboneURL) has no TLS and is not loopback; use https://, or set allow_plain_http: true")
    }
    if relayOfferMbps > 0, serviceType == .private {
      throw refusal("relay_offer_mbps", "expected 0 while service_type is private, found \(relayOfferMbps)")
    }
    if relayStreamPort > 0, relayOfferMbps == 0 {
      throw refusal("relay.stream_port", "expected 0 while relay_offer_mbps is 0, found \(relayStreamPort)")
    }
  }

  private static func endpoint(_ text: String, permitsLoopback: Bool) -> Endpoint? {
    Endpoint(text).flatMap {
      $0.isDialable || (permitsLoopback && $0.address.isLoopback && $0.port != 0) ? $0 : nil
    }
  }

  private static func interfaceName(_ text: String) -> String? {
    let valid = text.utf8.allSatisfy {
      (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == 95 || $0 == 45
        || $0 == 46
    }
    return valid && (1...15).contains(text.utf8.count) && text != "." && text != ".." ? text : nil
  }
}

extension ConfigurationFile {
  /// An absolute path.
  fileprivate mutating func path(_ key: String) throws(ConfigurationError) -> String? {
    try value(key, expected: "an absolute path") { $0.hasPrefix("/") && !$0.contains("\0") ? $0 : nil }
  }
}
