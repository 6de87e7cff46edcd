import CLinux

/// Who is at the other end of a connected UNIX socket (SO_PEERCRED): as it was when they connected.
public struct PeerCredentials: Hashable, Sendable {
  public let user: UInt32
  public let group: UInt32
  public let process: Int32

  /// Asks the kernel about an open descriptor.
  public init(of descriptor: Int32) throws(SystemError) {
    var user: UInt32 = 0
    var group: UInt32 = 0
    var process: Int32 = 0
    try unsafe SystemError.check(clinux_peer_credentials(descriptor, &user, &group, &process))
    self.user = user
    self.group = group
    self.process = process
  }
}
