import Daemon
import Foundation
import Glibc

/// A small file that the configuration names, of which the first line counts. It holds a secret: only its
/// owner may change it, and only its owner and its group may read it.
enum FirstLine {
  /// More than this is not read.
  static let limit = 4_096

  /// Why it gave nothing.
  struct Failure: Error, CustomStringConvertible {
    let key: String
    let path: String
    let reason: String
    var description: String { "\(key): \(path) cannot be used: \(reason)" }
  }

  /// The line without its end, as bytes. Throws ``Failure`` when there is no file, others can read it, or
  /// when its first line is empty.
  static func read(_ path: String, for key: String) throws -> [UInt8] {
    let bytes: Data
    switch open(path, isSecret: true) {
    case .failure(let obstacle): throw Failure(key: key, path: path, reason: obstacle.reason)
    case .success(let handle): bytes = try handle.read(upToCount: limit) ?? Data()
    }
    let line = Array(bytes.prefix { $0 != 10 && $0 != 13 })
    guard !line.isEmpty else { throw Failure(key: key, path: path, reason: "its first line is empty") }
    return line
  }

  /// Why a file cannot be read, in the system's words, or is not fit for a secret; `nil` when it can.
  static func obstacle(to path: String, isSecret: Bool) -> String? {
    switch open(path, isSecret: isSecret) {
    case .failure(let obstacle): obstacle.reason
    case .success: nil
    }
  }

  private struct Obstacle: Error {
    let reason: String
  }

  /// Opens the file, and looks at what was opened: behind its name another could be by then. The handle
  /// closes with its last reference.
  private static func open(_ path: String, isSecret: Bool) -> Result<FileHandle, Obstacle> {
    func obstacle(_ reason: String) -> Result<FileHandle, Obstacle> { .failure(Obstacle(reason: reason)) }
    // Not waiting: a pipe that nobody writes to would hold up the start.
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return obstacle(SystemError(code: errno).description) }
    let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      return obstacle(SystemError(code: errno).description)
    }
    guard status.st_mode & S_IFMT != S_IFDIR else { return obstacle(SystemError(code: EISDIR).description) }
    guard isSecret else { return .success(handle) }
    guard status.st_mode & S_IFMT == S_IFREG else { return obstacle("it is not a regular file") }
    guard status.st_uid == geteuid() || status.st_uid == 0 else {
      return obstacle("it belongs to another user: chown it to root or to this program's user")
    }
    guard status.st_mode & 0o027 == 0 else {
      return obstacle("others can read or change it: chmod 600 \(path)")
    }
    return .success(handle)
  }
}

extension LightNodeConfiguration {
  /// What is likely not meant, though it is no error: each a sentence that names its key.
  public var remarks: [String] {
    var remarks: [String] = []
    if backboneURL != nil, backboneKey == nil {
      remarks.append(
        "backbone_key is missing: there is no login without it; the backbone prints it as it starts")
    }
    let files = [
      ("backbone_ca_file", backboneCAFile, false), ("backbone_invite_file", backboneInviteFile, true),
      ("passphrase_file", passphraseFile, true),
    ]
    for case (let key, let path?, let isSecret) in files {
      if let reason = FirstLine.obstacle(to: path, isSecret: isSecret) {
        remarks.append("\(key): \(path): \(reason)")
      }
    }
    return remarks
  }
}
