import Foundation
public import MeshCrypto
import MeshWire

/// Why a backbone's own files cannot be used, for the operator.
public struct StateFileError: Error, Hashable, Sendable, CustomStringConvertible {
  public let path: String
  public let problem: String

  public var description: String { "\(path): \(problem)" }
}

/// Where a backbone keeps its keys (0600) and its database, in a directory of its own (0700).
public struct StateDirectory: Sendable {
  public let path: String

  /// Makes the directory if it is missing; refuses one that others may enter.
  public init(path: String) throws(StateFileError) {
    self.path = path
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw StateFileError(
        path: path, problem: "cannot be made: \((error as NSError).localizedDescription)")
    }
    try Self.checkPrivate(path, permitted: 0o700)
  }

  /// The database.
  public var registryFile: String { path + "/registry.sqlite" }

  /// Takes the directory for a backbone that serves, until the process ends; refuses when another has it.
  ///
  /// The lock is the kernel's, on the key file: it needs no file and goes with the process, however
  /// that ends. Commands that only use the database don't take it.
  public func lock() throws(StateFileError) {
    let file = path + "/identity.key"
    let descriptor = unsafe open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw StateFileError(path: file, problem: Self.reason("locked", errno)) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      close(descriptor)
      guard code == EWOULDBLOCK else {
        throw StateFileError(path: file, problem: Self.reason("locked", code))
      }
      throw StateFileError(
        path: path,
        problem: "another shadowmesh-backbone uses it: stop that one, or give this one its own directory")
    }
  }

  private static func reason(_ action: String, _ code: Int32) -> String {
    unsafe "cannot be \(action): \(String(cString: strerror(code)))"
  }

  /// The backbone's identity: made at the first start, never overwritten.
  public func identity() throws -> IdentityKey {
    let file = path + "/identity.key"
    guard let text = try Self.read(file) else {
      let key = try IdentityKey()
      try Self.create(file, Data((key.seed.hex + "\n").utf8))
      return key
    }
    guard let line = String(data: text, encoding: .utf8)?.trimmingCharacters(in: .whitespacesAndNewlines),
      let seed = [UInt8](hex: line), let key = try? IdentityKey(seed: seed)
    else {
      throw StateFileError(
        path: file, problem: "is not a key of 64 hexadecimal digits: restore it from a backup")
    }
    return key
  }

  /// The region's keys: made at the first start. Copy the file to every backbone of the region.
  public func regionKeys() throws -> RegionKeys {
    let file = path + "/region-keys.json"
    guard let data = try Self.read(file) else {
      let keys = RegionKeys()
      try Self.create(file, try keys.encoded)
      return keys
    }
    guard let keys = RegionKeys(encoded: data) else {
      throw StateFileError(
        path: file, problem: "is damaged: restore it, or move it away and have all nodes log in anew")
    }
    return keys
  }

  /// Puts a new token key in front; the one before keeps verifying. Takes effect at the next start.
  ///
  /// - Returns: whether an older key was dropped for it, so that its tokens no longer count.
  @discardableResult
  public func rotateTokenKey() throws -> Bool {
    let file = path + "/region-keys.json"
    let keys = try regionKeys()
    let rotated = keys.rotated()
    let fresh = file + ".new"
    try? FileManager.default.removeItem(atPath: fresh)
    try Self.create(fresh, try rotated.encoded)
    // rename(2) replaces in one step; FileManager has nothing on Linux that does.
    guard unsafe rename(fresh, file) == 0 else {
      throw StateFileError(path: file, problem: Self.reason("replaced", errno))
    }
    return keys.tokenKeys.count == RegionKeys.maximumTokenKeys
  }

  /// `nil` when there is no such file; refuses one that others may read.
  private static func read(_ file: String) throws(StateFileError) -> Data? {
    guard FileManager.default.fileExists(atPath: file) else { return nil }
    try checkPrivate(file, permitted: 0o600)
    do {
      return try Data(contentsOf: URL(fileURLWithPath: file))
    } catch {
      throw StateFileError(
        path: file, problem: "cannot be read: \((error as NSError).localizedDescription)")
    }
  }

  /// Writes a file that must not exist yet, whole and on the disk before it gets its name.
  private static func create(_ file: String, _ content: Data) throws(StateFileError) {
    let partial = file + ".partial"
    do {
      try? FileManager.default.removeItem(atPath: partial)
      guard
        FileManager.default.createFile(
          atPath: partial, contents: nil, attributes: [.posixPermissions: 0o600]),
        let handle = FileHandle(forWritingAtPath: partial)
      else { throw CocoaError(.fileWriteUnknown) }
      try handle.write(contentsOf: content)
      try handle.synchronize()
      try handle.close()
      try FileManager.default.moveItem(atPath: partial, toPath: file)
    } catch {
      try? FileManager.default.removeItem(atPath: partial)
      throw StateFileError(
        path: file, problem: "cannot be written: \((error as NSError).localizedDescription)")
    }
  }

  private static func checkPrivate(_ path: String, permitted: Int) throws(StateFileError) {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    guard let mode = (attributes?[.posixPermissions] as? NSNumber)?.intValue else {
      throw StateFileError(path: path, problem: "cannot be examined")
    }
    guard mode & 0o077 == 0 else {
      let wanted = String(permitted, radix: 8)
      throw StateFileError(path: path, problem: "others may read it: run chmod \(wanted) \(path)")
    }
  }
}
