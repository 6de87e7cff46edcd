import MeshWire

/// UPnP Internet Gateway Device: its description, and the actions of a WAN connection that a mapping needs
/// (WANIPConnection:1 §2.4, WANIPConnection:2 §2.5, UPnP Device Architecture 1.1 §2 and §3).
enum IGD {
  /// A service that can map ports, the better ones first.
  enum ServiceType: String, CaseIterable {
    case ipConnection2 = "urn:schemas-upnp-org:service:WANIPConnection:2"
    case ipConnection1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
    case pppConnection1 = "urn:schemas-upnp-org:service:WANPPPConnection:1"
  }

  struct Service: Hashable {
    var type: ServiceType
    var control: GatewayURL
  }

  /// More services than any device has are not looked at.
  static let mostServices = 64

  /// The best service of a description that was read at `url`, all of its URLs on the same address.
  static func service(in document: ArraySlice<UInt8>, at url: GatewayURL) throws(DecodingFailure) -> Service {
    var reader = try MarkupReader(document)
    var base = url
    var found: [(type: ServiceType, control: String)] = []
    var type = ""
    var control = ""
    var seen = 0
    while let event = try reader.next() {
      switch event {
      case .start("service"):
        (type, control) = ("", "")
        seen += 1
        guard seen <= mostServices else { throw .tooLarge }
      case .end("serviceType", let text): type = text
      case .end("controlURL", let text): control = text
      case .end("service", _):
        if let type = ServiceType(rawValue: type) { found.append((type, control)) }
      case .end("URLBase", let text):
        // Deprecated, and some devices say it wrong: what is not on the gateway doesn't count.
        if let given = GatewayURL(text, on: url.host.address) { base = given }
      default: break
      }
    }
    for type in ServiceType.allCases {
      for candidate in found where candidate.type == type {
        if let control = base.resolving(candidate.control) { return Service(type: type, control: control) }
      }
    }
    throw .badValue
  }

  /// What a mapping is: UDP, from every host, to `client`.
  struct Mapping: Hashable {
    var externalPort: UInt16
    var internalPort: UInt16
    var client: IPAddress
    /// Seconds; 0: until it is removed.
    var lease: UInt32
  }

  enum Action: Hashable {
    case externalAddress
    case add(Mapping)
    /// The router chooses another port if this one is taken; only ``ServiceType/ipConnection2``.
    case addAny(Mapping)
    case delete(externalPort: UInt16)

    var name: String {
      switch self {
      case .externalAddress: "GetExternalIPAddress"
      case .add: "AddPortMapping"
      case .addAny: "AddAnyPortMapping"
      case .delete: "DeletePortMapping"
      }
    }

    /// In the order of the service's description, which some devices insist on.
    private var arguments: [(String, String)] {
      switch self {
      case .externalAddress: []
      case .add(let mapping), .addAny(let mapping):
        [
          ("NewRemoteHost", ""), ("NewExternalPort", "\(mapping.externalPort)"), ("NewProtocol", "UDP"),
          ("NewInternalPort", "\(mapping.internalPort)"), ("NewInternalClient", "\(mapping.client)"),
          ("NewEnabled", "1"), ("NewPortMappingDescription", "shadowmesh"),
          ("NewLeaseDuration", "\(mapping.lease)"),
        ]
      case .delete(let port):
        [("NewRemoteHost", ""), ("NewExternalPort", "\(port)"), ("NewProtocol", "UDP")]
      }
    }

    func body(for type: ServiceType) -> [UInt8] {
      let fields = arguments.map { "<\($0)>\($1)</\($0)>" }.joined()
      let text =
        "<?xml version=\"1.0\"?>\r\n"
        + "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "
        + "s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>"
        + "<u:\(name) xmlns:u=\"\(type.rawValue)\">\(fields)</u:\(name)></s:Body></s:Envelope>\r\n"
      return Array(text.utf8)
    }
  }

  /// What an action's answer holds.
  struct ActionAnswer: Hashable {
    var externalAddress: IPAddress?
    var reservedPort: UInt16?
  }

  /// Reads the answer to `action`. Throws ``UPnPFault`` for a fault, and for what is no answer to it.
  static func answer(
    to action: Action, status: Int, body: ArraySlice<UInt8>
  ) throws(UPnPFault) -> ActionAnswer {
    do {
      var reader = try MarkupReader(body)
      var answer = ActionAnswer()
      var isAnswer = false
      var fault: Int?
      while let event = try reader.next() {
        switch event {
        case .start(action.name + "Response"): isAnswer = true
        case .end("errorCode", let text): fault = UInt16(text).map(Int.init)
        case .end("NewExternalIPAddress", let text): answer.externalAddress = IPAddress(text)
        case .end("NewReservedPort", let text): answer.reservedPort = UInt16(text)
        default: break
        }
      }
      if status == 200, isAnswer { return answer }
      throw UPnPFault(code: fault ?? (status == 200 ? 0 : status))
    } catch let fault as UPnPFault {
      throw fault
    } catch {
      throw UPnPFault(code: status == 200 ? 0 : status)
    }
  }
}

/// An action's failure: the errorCode of UPnP, else the HTTP status, 0 for what could not be read.
struct UPnPFault: Error, Hashable {
  /// Ours: the answer that should name the outer address names none.
  static let noAddress = -1
  static let noSuchEntry = 714
  static let conflict = 718
  static let samePortsRequired = 724
  static let onlyPermanentLeases = 725

  let code: Int

  static func meaning(of code: Int) -> String {
    switch code {
    case noAddress: "no outer address"
    case 0: "an answer that could not be read"
    case 401: "no such action"
    case 402: "bad arguments"
    case 403: "forbidden"
    case 404: "not found"
    case 501: "the action failed"
    case 606: "not authorized"
    case noSuchEntry: "no such mapping"
    case conflict: "the port is taken"
    case samePortsRequired: "inner and outer port must be the same"
    case onlyPermanentLeases: "only mappings without an end"
    case 728: "no more mappings"
    case 729: "the port is used by another mechanism"
    default: "error"
    }
  }
}
