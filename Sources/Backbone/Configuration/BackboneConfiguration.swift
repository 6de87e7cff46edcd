import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire
public import StrictConfiguration

/// What `backbone.yaml` says. Every key is described in `packaging/backbone.yaml`.
public struct BackboneConfiguration: Sendable {
  public let settings: BackboneSettings
  public let listeners: [BackboneService.Listener]
  public let datagrams: DatagramSettings
  /// Keys and database.
  public let stateDirectory: String
  public let logLevel: LogLevel
  public let bounds: SQLiteStore.Bounds
  /// The longest that a token may be made to count.
  public static let longestTokenLife = Duration.seconds(7 * 86_400)
  /// For errors that come up later.
  let source: ConfigurationFile

  /// The levels of swift-log, by their names there.
  public enum LogLevel: String, CaseIterable, Sendable {
    case trace, debug, info, notice, warning, error
  }

  private enum AdmissionMode: String, CaseIterable { case open, invite, list }

  /// Reads and checks a whole file.
  public init(path: String) throws(ConfigurationError) {
    try self.init(ConfigurationFile(path: path))
  }

  /// Reads every key of the file, and refuses what is left.
  public init(_ configuration: ConfigurationFile) throws(ConfigurationError) {
    var file = configuration
    let region = try file.required("region", of: try Self.region("region", in: &file))
    let origins = try file.required(
      "origins",
      of: try file.values("origins", upTo: 8, expected: "an address like https://backbone.example:8443") {
        Origin(url: $0)
      })
    if origins.isEmpty { throw file.refusal("origins", "expected at least one address") }
    let endpoints = try Self.listenEndpoints(in: &file)
    listeners = try Self.listeners(at: endpoints, in: &file)
    datagrams = try DatagramSettings(in: &file, firstListener: endpoints[0], origins: origins)
    stateDirectory = try file.string("state_directory") ?? "/var/lib/shadowmesh-backbone"
    logLevel = try file.choice("log_level", of: LogLevel.self) ?? .info
    var bounds = SQLiteStore.Bounds()
    bounds.records = try file.integer("maximum_records", in: 1...100_000_000) ?? bounds.records
    self.bounds = bounds
    let admission = try Self.admission(in: &file)
    let life = try file.duration("token_life", in: .seconds(60)...Self.longestTokenLife)
    var limits = BackboneSettings.Limits()
    limits.loginsPerMinute =
      try file.integer("limits.logins_per_minute", in: 1...1_000_000) ?? limits.loginsPerMinute
    limits.requestsPerSecond =
      try file.integer("limits.requests_per_second", in: 1...1_000_000) ?? limits.requestsPerSecond
    settings = BackboneSettings(
      region: region, origins: origins, admission: admission, tokenLife: life ?? .seconds(86_400),
      nodes: try Self.nodes(in: &file), limits: limits)
    try file.finish()
    source = file
  }

  private static func region(_ key: String, in file: inout ConfigurationFile) throws(ConfigurationError)
    -> Region?
  {
    try file.value(key, expected: "1 to 32 characters of a-z, 0-9, - and _") { Region($0) }
  }

  private static func admission(in file: inout ConfigurationFile) throws(ConfigurationError) -> Admission {
    let mode = try file.choice("admission.mode", of: AdmissionMode.self) ?? .open
    let keys = try file.values("admission.keys", upTo: 100_000, expected: "a KeyHash, 64 hex digits") {
      KeyHash(hex: $0)
    }
    if mode != .list, keys != nil {
      throw file.refusal("admission.keys", "counts only with admission.mode: list")
    }
    switch mode {
    case .open: return .open
    case .invite: return .invite
    case .list: return .list(Set(try file.required("admission.keys", of: keys)))
    }
  }

  private static func nodes(in file: inout ConfigurationFile) throws(ConfigurationError) -> [BackboneNode] {
    var nodes: [BackboneNode] = []
    for var node in try file.groups("nodes", upTo: BackboneNodeList.maximumCount) ?? [] {
      let region = try node.required("region", of: try region("region", in: &node))
      let endpoint = try node.value("address", expected: "an address and UDP port like 198.51.100.7:8443") {
        Endpoint($0)
      }
      let keyHash = try node.value("key_hash", expected: "a KeyHash, 64 hex digits") { KeyHash(hex: $0) }
      let stun = try node.value("stun", expected: "an address and UDP port like 198.51.100.7:3478") {
        Endpoint($0)
      }
      nodes.append(
        BackboneNode(
          region: region, endpoint: try node.required("address", of: endpoint),
          keyHash: try node.required("key_hash", of: keyHash), stun: stun))
      try node.finish()
    }
    return nodes
  }

  /// At least one.
  private static func listenEndpoints(in file: inout ConfigurationFile) throws(ConfigurationError)
    -> [Endpoint]
  {
    let endpoints =
      try file.values("listen", upTo: 8, expected: "an address and port like 0.0.0.0:8443") { Endpoint($0) }
      ?? [Endpoint(.v6(0), port: 8_443)]
    if endpoints.isEmpty { throw file.refusal("listen", "expected at least one address") }
    return endpoints
  }

  private static func listeners(
    at endpoints: [Endpoint], in file: inout ConfigurationFile
  ) throws(ConfigurationError) -> [BackboneService.Listener] {
    let certificate = try file.string("tls.certificate_file")
    let key = try file.string("tls.key_file")
    let plain = try file.boolean("allow_plain_http") ?? false
    var tls: BackboneService.TLSFiles?
    switch (certificate, key) {
    case (let certificate?, let key?):
      tls = BackboneService.TLSFiles(certificateFile: certificate, keyFile: key)
    case (nil, nil): break
    default: throw file.refusal("tls", "expected both certificate_file and key_file")
    }
    for endpoint in endpoints where tls == nil && !endpoint.address.isLoopback && !plain {
      throw file.refusal(
        "listen", "\(endpoint) would be plain HTTP: set tls.certificate_file, or allow_plain_http: true")
    }
    return endpoints.map {
      BackboneService.Listener(host: $0.address.description, port: Int($0.port), tls: tls)
    }
  }
}
