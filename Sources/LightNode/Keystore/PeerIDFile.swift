import Daemon
public import MeshWire

/// The seed's `peer_id_file`: this node's PeerID as 40 hexadecimal digits and a newline, for other programs.
public enum PeerIDFile {
  /// Writes the file unless it says so already; what it held before is replaced: it is derived from the key.
  static func write(_ peerID: PeerID, to path: String) throws {
    let line = Array("\(peerID)\n".utf8)
    let file = StateFile(path: path, sizeLimit: 4_096, mode: 0o644)
    if try file.read() == line { return }
    try file.write(line)
  }

  /// Writes the file where that is possible; the daemon writes it again at each start and says when it can't.
  public static func writeIfPossible(_ peerID: PeerID, to path: String) {
    try? write(peerID, to: path)
  }
}
