import Foundation
import Glibc
import NodeHost

/// A small file that the configuration names, of which the first line counts.
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
    if let reason = obstacle(to: path, isSecret: true) {
      throw Failure(key: key, path: path, reason: reason)
    }
    let handle = FileHandle(forReadingAtPath: path)
    defer { try? handle?.close() }
    let bytes = try handle?.read(upToCount: limit) ?? Data()
    let line = Array(bytes.prefix { $0 != 10 && $0 != 13 })
    guard !line.isEmpty else { throw Failure(key: key, path: path, reason: "its first line is empty") }
    return line
  }

  /// Why a file cannot be read, in the system's words, or is not fit for a secret; `nil` when it can.
  static func obstacle(to path: String, isSecret: Bool) -> String? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return SystemError(code: errno).description }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT != S_IFDIR else {
      return SystemError(code: EISDIR).description
    }
    if isSecret, status.st_mode & 0o077 != 0 { return "others can read it: chmod 600 \(path)" }
    return nil
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
