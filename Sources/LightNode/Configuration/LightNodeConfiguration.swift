import ControlAPI
public import MeshCrypto
public import MeshNode
public import MeshWire

/// What `shadowmesh-lightnode` runs with: the seed's five keys, and ours beside them, all with sane defaults.
public struct LightNodeConfiguration: Hashable, Sendable {
  /// The seed's `mode`: this program is the light node.
  public enum Mode: String, CaseIterable, Sendable { case lightnode }
  /// The seed's `service_type`; `public` is announced as LIGHT_PUBLIC.
  public enum ServiceType: String, CaseIterable, Sendable {
    case `private`
    case `public`
  }
  /// As swift-log names them.
  public enum LogLevel: String, CaseIterable, Sendable {
    case trace, debug, info, notice, warning, error, critical
  }
  /// Whether the router is asked for a port: `auto` where this machine is behind one, and no `endpoints` are
  /// given.
  public enum PortMappingMode: String, CaseIterable, Sendable { case auto, off }
  /// Where `/metrics` and `/health` are served.
  public enum MetricsListener: Hashable, Sendable {
    case off
    case address(Endpoint)
  }

  /// Bytes of the largest packet that the TUN device takes.
  public enum MTU: Hashable, Sendable, CustomStringConvertible {
    /// 1,280, and more while the paths of all peers carry more whole.
    case auto
    case fixed(Int)

    /// 2,400 bytes travel in two datagrams of any path that carries 1,232.
    static let range = MeshNode.minimumMTU...2_400

    /// `auto`, or a number of ``range``.
    init?(_ text: String) {
      guard text != "auto" else {
        self = .auto
        return
      }
      guard text.utf8.allSatisfy({ (48...57).contains($0) }), let bytes = Int(text),
        Self.range.contains(bytes)
      else { return nil }
      self = .fixed(bytes)
    }

    public var description: String {
      switch self {
      case .auto: "auto"
      case .fixed(let bytes): "\(bytes)"
      }
    }
  }

  public var mode = Mode.lightnode
  /// Where the PeerID is written for other programs; `peer_id.txt` in the state directory unless given.
  public var peerIDFile = "/var/lib/shadowmesh/peer_id.txt"
  /// `nil`: no backbone, peers that were added with endpoints only.
  public var backboneURL: String?
  public var region = Region("unspecified")!  // why: the text is a name that a region may have
  public var serviceType = ServiceType.private
  /// Key, peer book and caches; mode 0700.
  public var stateDirectory = "/var/lib/shadowmesh"
  /// UDP, all addresses of both families. What ``load(path:flags:)`` reads for a public node is
  /// ``ListenPort/publicDefault`` unless the file names one.
  public var listenPort = ListenPort.auto
  public var portMapping = PortMappingMode.auto
  /// Endpoints to announce; empty: the dialable addresses of this machine's interfaces.
  public var endpoints: [Endpoint] = []
  /// STUN servers to ask instead of those that the backbone names.
  public var stunServers: [Endpoint] = []
  /// Pins the backbone's identity.
  public var backboneKey: KeyHash?
  /// PEM certificates that the backbone's TLS chain may end in, besides the system's.
  public var backboneCAFile: String?
  public var allowPlainHTTP = false
  public var tunName = "shadowmesh0"
  public var mtu = MTU.auto
  public var controlSocket = ControlClient.defaultSocketPath
  public var controlGroup = "shadowmesh"
  public var metricsListener = MetricsListener.address(
    Endpoint(.v4(0x7f00_0001), port: 9_460))
  public var logLevel = LogLevel.info
  /// Mbit/s that a public node offers to relay; 0 for none.
  public var relayOfferMbps = 0
  /// Who says to run this relay; relays of one name never meet in one chain.
  public var relayOperator = OperatorName.unnamed
  /// Whom this node relays for.
  public var relayAdmit = NodeConfiguration.RelayAdmission.all
  /// Relays on the way to a peer that is reached through relays, 1 to 3.
  public var relayHops = 1
  /// TCP port of TLS streams, for clients whose network lets no UDP through; 0: none are served. 443 passes
  /// the most networks, and takes CAP_NET_BIND_SERVICE.
  public var relayStreamPort = 0
  /// Loopback endpoints count as dialable: for two nodes on one machine.
  public var permitLoopback = false
  /// A file whose first line is the backbone's one-time invitation.
  public var backboneInviteFile: String?
  /// A file whose first line opens the key; `nil` for a key without passphrase.
  public var passphraseFile: String?

  public init() {}

  /// The service type as records have it.
  var meshServiceType: MeshCrypto.ServiceType { serviceType == .public ? .lightPublic : .lightPrivate }
}
