import ArgumentParser
import Backbone
import BackboneAPI
import Logging
import MeshCrypto
import MeshWire

/// A whole backbone for trying things out, without a file.
struct DevCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dev",
    abstract: "Serve on loopback, without a file: the whole backbone, for trying things out.",
    discussion: """
      Plain HTTP on 127.0.0.1, and introductions on the UDP port of the same number; open admission,
      generous limits.
      Prints the lines to paste into a node's configuration.
      Without --state everything is in memory and gone afterwards, the backbone's key too.
      """)

  @Option(help: "The port.")
  var port = 8_080

  @Option(help: "The region to serve.")
  var region = "europe"

  @Option(help: "A directory to keep keys and records in.")
  var state: String?

  @Option(help: "trace, debug, info, notice, warning or error.")
  var logLevel = "notice"

  func validate() throws {
    guard Region(region) != nil else {
      throw ValidationError("--region: expected 1 to 32 characters of a-z, 0-9, - and _")
    }
    guard BackboneConfiguration.LogLevel(rawValue: logLevel) != nil else {
      throw ValidationError("--log-level: expected trace, debug, info, notice, warning or error")
    }
    guard (1...65_535).contains(port) else { throw ValidationError("--port: expected 1 to 65535") }
  }

  func run() async throws {
    guard let region = Region(region), let level = BackboneConfiguration.LogLevel(rawValue: logLevel)
    else { return }
    let identity: IdentityKey
    let keys: RegionKeys
    let store: SQLiteStore
    if let state {
      let directory = try StateDirectory(path: state)
      identity = try directory.identity()
      try directory.lock()
      keys = try directory.regionKeys()
      store = try SQLiteStore(file: directory.registryFile)
    } else {
      identity = try IdentityKey()
      keys = RegionKeys()
      store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    }
    var limits = BackboneSettings.Limits()
    limits.loginsPerMinute = 1_000_000
    limits.strayRequestsPerSecond = 1_000_000
    limits.requestsPerSecond = 1_000_000
    limits.publicationsPerSecond = 1_000_000
    limits.relayListsPerMinute = 1_000_000
    let origins = ["http://127.0.0.1:\(port)", "http://localhost:\(port)"].compactMap { Origin(url: $0) }
    let settings = BackboneSettings(region: region, origins: origins, limits: limits)
    let udp = Endpoint(.v4(0x7f00_0001), port: UInt16(port))
    try await Program.run(
      settings: settings, identity: identity, keys: keys, store: store,
      listeners: [BackboneService.Listener(host: "127.0.0.1", port: port, tls: nil)],
      datagrams: DatagramSettings(listen: udp, announced: [udp]), logger: Program.logger(level: level)
    ) { port in
      Program.say(
        """
        # Paste into the node's configuration:
        backbone_url: http://127.0.0.1:\(port)
        backbone_key: \(identity.keyHash)
        region: \(region)
        """)
    }
  }
}
