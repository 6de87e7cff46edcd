import MeshCrypto
import MeshNode
import MeshWire
import StrictConfiguration
import Testing

@testable import LightNode

@Suite("Light node configuration")
struct ConfigurationTests {
  private func load(_ text: String, flags: [(key: String, values: [String])] = []) throws
    -> LightNodeConfiguration
  {
    let folder = try TemporaryFolder()
    return try LightNodeConfiguration.load(path: folder.write(text, to: "lightnode.yaml"), flags: flags)
  }

  private func refusal(_ text: String, flags: [(key: String, values: [String])] = []) throws
    -> ConfigurationError?
  {
    #expect(throws: ConfigurationError.self) { try load(text, flags: flags) }
  }

  /// The file of the seed, as it stands.
  private let seed = """
    mode: lightnode
    peer_id_file: /var/lib/shadowmesh/peer_id.txt
    backbone_url: http://mock-backbone.local:8080  # Mock for now
    region: asia_pacific
    service_type: private
    """

  @Test("The seed's file is refused for its plain HTTP only, and the refusal names allow_plain_http")
  func seedFileRefused() throws {
    let error = try refusal(seed)
    #expect(error?.line == 3)
    #expect(error?.key == "backbone_url")
    #expect(error?.problem.contains("allow_plain_http: true") == true)
  }

  @Test("The seed's file runs once plain HTTP is allowed, or its address replaced")
  func seedFileRuns() throws {
    let allowed = try load(seed + "\nallow_plain_http: true\n")
    #expect(allowed.mode == .lightnode)
    #expect(allowed.peerIDFile == "/var/lib/shadowmesh/peer_id.txt")
    #expect(allowed.backboneURL == "http://mock-backbone.local:8080")
    #expect(allowed.region.name == "asia_pacific")
    #expect(allowed.serviceType == .private)
    #expect(allowed.listenPort == .auto)
    let flags = [("allow_plain_http", ["true"])].map { (key: $0.0, values: $0.1) }
    #expect(try load(seed, flags: flags) == allowed)
    let replaced = [("backbone_url", ["https://backbone.example:8443"])].map { (key: $0.0, values: $0.1) }
    #expect(try load(seed, flags: replaced).backboneURL == "https://backbone.example:8443")
  }

  @Test(
    "http:// needs no leave on loopback",
    arguments: ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"])
  func loopback(url: String) throws {
    #expect(try load("backbone_url: \"\(url)\"").backboneURL == url)
  }

  @Test(
    "http:// that only looks like loopback needs leave",
    arguments: ["http://localhost.example:8080", "http://127.0.0.1.example", "http://192.0.2.1"])
  func notLoopback(url: String) throws {
    #expect(try refusal("backbone_url: \"\(url)\"")?.problem.contains("allow_plain_http") == true)
  }

  @Test(
    "A bad value is refused with line, key and what was expected",
    arguments: [
      ("mode: backbone", "mode", "lightnode"),
      ("service_type: secret", "service_type", "private, public"),
      ("listen_port: 70000", "listen_port", "1 to 65535"),
      ("listen_port: many", "listen_port", "whole number"),
      ("listen_port: 0", "listen_port", "auto"),
      ("mtu: 1279", "mtu", "1280 to 2400"),
      ("mtu: 2401", "mtu", "1280 to 2400"),
      ("allow_plain_http: maybe", "allow_plain_http", "true or false"),
      ("state_directory: var/lib", "state_directory", "absolute path"),
      ("backbone_key: abc", "backbone_key", "64 hexadecimal digits"),
      ("backbone_url: ftp://x", "backbone_url", "https://"),
      ("backbone_url: https://u:p@x", "backbone_url", "https://"),
      ("region: Europe!", "region", "a-z"),
      ("endpoints: [127.0.0.1:8443]", "endpoints", "others can dial"),
      ("endpoints: 192.0.2.1:8443", "endpoints", "list"),
      ("tun_name: this-name-is-too-long", "tun_name", "1 to 15"),
      ("metrics_listen: everywhere", "metrics_listen", "ADDRESS:PORT or off"),
      ("log_level: loud", "log_level", "debug"),
      ("port_mapping: on", "port_mapping", "auto, off"),
      ("relay_offer_mbps: 5", "relay_offer_mbps", "service_type is private"),
      ("relay: {stream_port: 443}", "relay.stream_port", "relay_offer_mbps is 0"),
    ])
  func badValue(line: String, key: String, expected: String) throws {
    let error = try refusal("# one line of comment\n" + line)
    #expect(error?.line == 2)
    #expect(error?.key == key)
    #expect(error?.problem.contains(expected) == true, "\(error.map(String.init(describing:)) ?? "")")
  }

  @Test func anUnknownKeyIsRefusedWithItsLine() throws {
    let error = try refusal("region: europe\nlisten_prot: 1")
    #expect(error?.line == 2)
    #expect(error?.key == "listen_prot")
    #expect(error?.problem.contains("listen_port") == true)
  }

  @Test func flagsOverrideTheFileUnderTheSameRules() throws {
    let port = [
      (key: "listen_port", values: ["9001"]),
      (key: "endpoints", values: ["192.0.2.1:9001", "[2001:db8::1]:9001"]),
    ]
    let configuration = try load("listen_port: 9000\nregion: europe", flags: port)
    #expect(configuration.listenPort == .fixed(9_001))
    #expect(configuration.endpoints.count == 2)
    #expect(configuration.region.name == "europe")
    let error = try refusal("region: europe", flags: [(key: "listen_port", values: ["0"])])
    #expect(error?.file == "command line")
    #expect(error?.key == "listen_port")
  }

  @Test("Lists and keys of a group have flags like any other, each over its own key only")
  func groupedFlags() throws {
    let text = """
      service_type: public
      relay_offer_mbps: 5
      relay: {hops: 2, admit: peers, stream_port: 443}
      """
    let flags = [
      (key: "relay.hops", values: ["3"]), (key: "region", values: ["europe"]),
      (key: "relay.operator", values: ["example.org"]),
      (key: "stun_servers", values: ["192.0.2.1:3478", "192.0.2.2:3478"]),
    ]
    let configuration = try load(text, flags: flags)
    #expect(configuration.relayHops == 3)
    #expect(configuration.relayOperator.name == "example.org")
    #expect(configuration.relayAdmit == .peers)
    #expect(configuration.relayStreamPort == 443)
    #expect(configuration.stunServers.count == 2)
    #expect(configuration.region.name == "europe")
    let error = try refusal("region: europe", flags: [(key: "relay.stream_port", values: ["443"])])
    #expect(error?.file == "command line")
    #expect(error?.key == "relay.stream_port")
    let smuggled = "x\"}\nallow_plain_http: true\n#"
    #expect(try refusal("", flags: [(key: "relay.operator", values: [smuggled])])?.key == "relay.operator")
  }

  @Test("A flag's text is a value, never a second key")
  func flagsCannotSmuggleKeys() throws {
    let text = "x\"\nallow_plain_http: true\n#"
    let error = try refusal("", flags: [(key: "region", values: [text])])
    #expect(error?.key == "region")
  }

  @Test(
    "A flag's text arrives as it was written, whatever YAML makes of it",
    arguments: ["/\u{1b}\"\\\u{2028}: é\u{7f}", "/\u{85}\u{feff}", "/a\tb", "/🕸 #"])
  func flagsArriveAsWritten(text: String) throws {
    #expect(try load("", flags: [(key: "state_directory", values: [text])]).stateDirectory == text)
  }

  @Test func aGroupMayHaveANameOfDigits() throws {
    #expect(try load("", flags: [(key: "control_group", values: ["12"])]).controlGroup == "12")
    #expect(try refusal("control_group: \"\"")?.key == "control_group")
    #expect(try refusal("control_group: \"a\\0\"")?.key == "control_group")
    #expect(try refusal("control_socket: \"/a\\0\"")?.key == "control_socket")
  }

  @Test func thePeerIDFileFollowsTheStateDirectory() throws {
    #expect(try load("state_directory: /srv/mesh").peerIDFile == "/srv/mesh/peer_id.txt")
    #expect(try load("").peerIDFile == "/var/lib/shadowmesh/peer_id.txt")
  }

  @Test func metricsCanBeOff() throws {
    #expect(try load("metrics_listen: off").metricsListener == .off)
    #expect(try load("port_mapping: off").portMapping == .off)
    #expect(try load("port_mapping: auto").portMapping == .auto)
    #expect(
      try load("metrics_listen: 127.0.0.1:9999").metricsListener == .address(Endpoint("127.0.0.1:9999")!))
  }

  @Test func aReloadTellsWhatChangedAndWhatNeedsARestart() throws {
    let old = try load("log_level: info\nmtu: 1280")
    let new = try load("log_level: debug\nmtu: 1400")
    let changes = old.changes(to: new)
    #expect(changes.map(\.key) == ["mtu", "log_level"])
    #expect(changes.map(\.needsRestart) == [true, false])
    let taken = old.takingLiveKeys(from: new)
    #expect(taken.logLevel == .debug)
    #expect(taken.mtu == .fixed(1_280))
  }

  @Test("The MTU follows the paths unless a number is given")
  func mtu() throws {
    #expect(try load("").mtu == .auto)
    #expect(try load("mtu: auto").mtu == .auto)
    #expect(try load("mtu: 2400").mtu == .fixed(2_400))
    #expect(try refusal("mtu: more")?.problem.contains("auto, or a whole number from 1280 to 2400") == true)
  }

  @Test("A reload takes no live key over that does not go with those that need a restart")
  func reloadIsHeldToTheRules() throws {
    let old = try load("service_type: private")
    let offer = try load("service_type: public\nrelay_offer_mbps: 100")
    let loopback = try load("permit_loopback: true\nendpoints: [\"127.0.0.1:99\"]")
    for new in [offer, loopback] {
      let live = LiveConfiguration(old)
      #expect(throws: ConfigurationError.self) { try live.take(new) }
      #expect(live.current == old)
    }
    let live = LiveConfiguration(offer)
    #expect(
      try live.take(load("service_type: public\nrelay_offer_mbps: 50")).map(\.key) == ["relay_offer_mbps"])
    #expect(live.current.relayOfferMbps == 50)
  }
}
