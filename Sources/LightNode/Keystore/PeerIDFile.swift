import Foundation
public import MeshWire

/// The seed's `peer_id_file`: this node's PeerID as 40 hexadecimal digits and a newline, for other programs.
public enum PeerIDFile {
  /// Writes the file unless it says so already; what it held before is replaced: it is derived from the key.
  static func write(_ peerID: PeerID, to path: String) throws {
    let line = Data("\(peerID)\n".utf8)
    let url = URL(filePath: path)
    if let present = try? Data(contentsOf: url), present == line { return }
    try line.write(to: url, options: .atomic)
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
  }

  /// Writes the file where that is possible; the daemon writes it again at each start and says when it can't.
  public static func writeIfPossible(_ peerID: PeerID, to path: String) {
    try? write(peerID, to: path)
  }
}
