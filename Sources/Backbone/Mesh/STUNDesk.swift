import MeshPaths
import MeshWire
import NIOCore
import Synchronization

/// One socket of the server.
struct STUNPlace: Hashable, Sendable {
  let isIPv4: Bool
  let socket: STUNSocket
}

/// What the sockets share: who answers, and the way out of each.
final class STUNDesk: Sendable {
  struct Counters: Hashable, Sendable {
    let responder: STUNResponder.Counters
    /// Requests that seem to come from where nothing may go.
    let misplaced: Int
    /// Answers that a socket had no room for.
    let unsent: Int

    static let outcomes = ["answered", "refused", "malformed", "limited", "source_refused", "unsent"]

    /// In the order of ``outcomes``.
    var values: [Int] {
      [responder.answered, responder.refused, responder.malformed, responder.limited, misplaced, unsent]
    }
  }

  private struct State {
    var responder: STUNResponder
    var channels: [STUNPlace: any Channel] = [:]
    var misplaced = 0
    var unsent = 0
  }

  private let state: Mutex<State>
  private let clock: BackboneClock

  init(_ addresses: STUNAddresses, clock: BackboneClock) {
    self.clock = clock
    func family(v4: Bool) -> STUNResponder.Addresses? {
      let places = addresses.places(v4: v4)
      guard places.count == 2 else { return nil }
      return STUNResponder.Addresses(
        places[0].announced, places[1].announced, ports: addresses.firstPort, addresses.secondPort)
    }
    state = Mutex(State(responder: STUNResponder(v4: family(v4: true), v6: family(v4: false))))
  }

  /// What is to be opened.
  static func sockets(of addresses: STUNAddresses) -> [(place: STUNPlace, endpoint: Endpoint)] {
    var sockets: [(place: STUNPlace, endpoint: Endpoint)] = []
    for v4 in [true, false] {
      let places = addresses.places(v4: v4)
      for (index, place) in places.enumerated() {
        for usesOtherPort in places.count == 2 ? [false, true] : [false] {
          let socket = STUNSocket(usesOtherAddress: index == 1, usesOtherPort: usesOtherPort)
          let port = usesOtherPort ? addresses.secondPort : addresses.firstPort
          sockets.append((STUNPlace(isIPv4: v4, socket: socket), Endpoint(place.local, port: port)))
        }
      }
    }
    return sockets
  }

  func open(_ channel: any Channel, at place: STUNPlace) { state.withLock { $0.channels[place] = channel } }

  var counters: Counters {
    state.withLock { Counters(responder: $0.responder.counters, misplaced: $0.misplaced, unsent: $0.unsent) }
  }

  /// Whether a stranger's request may seem to come from there. One from loopback is this machine's own: the
  /// kernel takes none of these from a network.
  private static func mayAnswer(_ source: Endpoint) -> Bool {
    source.isDialable || source.address.isLoopback && source.port != 0
  }

  /// Answers a datagram that came in at one of the sockets, by the same or another.
  func take(_ datagram: [UInt8], from address: SocketAddress, at place: STUNPlace) {
    guard let source = Endpoint(address) else { return }
    guard Self.mayAnswer(source) else { return state.withLock { $0.misplaced += 1 } }
    let now = clock.monotonic()
    let answer = state.withLock { state -> (bytes: [UInt8], channel: any Channel)? in
      guard let answer = state.responder.answer(datagram, from: source, at: place.socket, now: now),
        let channel = state.channels[STUNPlace(isIPv4: place.isIPv4, socket: answer.from)]
      else { return nil }
      // A socket whose queue is full: the client asks again.
      guard channel.isWritable else {
        state.unsent += 1
        return nil
      }
      return (answer.bytes, channel)
    }
    guard let answer else { return }
    answer.channel.writeAndFlush(
      AddressedEnvelope(remoteAddress: address, data: ByteBuffer(bytes: answer.bytes)), promise: nil)
  }
}

extension Endpoint {
  /// `nil` for anything but an IP address.
  fileprivate init?(_ address: SocketAddress) {
    guard let text = address.ipAddress, let ip = IPAddress(text), let port = address.port else { return nil }
    self.init(ip, port: UInt16(truncatingIfNeeded: port))
  }
}
