public import Daemon
public import MeshNode
public import MeshWire

/// What a node tells the program around it.
public enum NodeNotice: Sendable {
  /// To log, count, save or show.
  case event(NodeEvent)
  /// To be answered with ``MeshNode/backboneAnswered(_:_:now:)``.
  case askBackbone(LookupID, PeerID)
}

/// Why a node that ran, or should have, doesn't.
public enum NodeLoopError: Error, Hashable, Sendable, CustomStringConvertible {
  /// It stopped, or never ran.
  case stopped
  /// 256 commands wait already.
  case busy
  /// ``NodeLoop/run()`` was called before.
  case alreadyRan
  /// The device went away under us, or can no longer be read.
  case deviceLost(name: String, SystemError?)
  /// TLS streams could not be served there.
  case streamsRefused(Endpoint, reason: String)
  /// The system refused what the loop cannot do without.
  case system(SystemError)

  /// One line for a person.
  public var description: String {
    switch self {
    case .stopped: "the node has stopped"
    case .busy: "the node has too many commands waiting: try again"
    case .alreadyRan: "a node runs once"
    case .deviceLost(let name, let error?): "the device \(name) is lost: \(error)"
    case .deviceLost(let name, nil): "the device \(name) was closed at its other end"
    case .streamsRefused(let endpoint, let reason):
      "TLS streams cannot be served at TCP \(endpoint): \(reason)"
    case .system(let error): "the system refused what the node needs to run: \(error)"
    }
  }
}
