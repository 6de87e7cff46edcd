import MeshWire
import Testing

@testable import MeshPaths

@Suite("UPnP's documents")
struct MarkupTests {
  private func events(_ text: String) throws -> [MarkupReader.Event] {
    var reader = try MarkupReader(Array(text.utf8)[...])
    var events: [MarkupReader.Event] = []
    while let event = try reader.next() { events.append(event) }
    return events
  }

  @Test("Elements come with their text, without prefixes, comments and attributes")
  func elements() throws {
    let text = """
      <?xml version="1.0"?><!-- > -->
      <s:a x="1>" y='/'><b> one &amp; &#x74;wo </b><c/><d><![CDATA[<&]]></d ></s:a>
      """
    #expect(
      try events(text) == [
        .start("a"), .start("b"), .end("b", text: "one & two"), .start("c"), .end("c", text: ""),
        .start("d"), .end("d", text: "<&"), .end("a", text: ""),
      ])
  }

  @Test(
    "What is not well-formed, or could grow, is refused",
    arguments: [
      "", "text", "<a>", "<a></b>", "</a>", "<a/><b/>", "<a", "<a x=\"", "<a><!-- </a>", "<a>&lol;</a>",
      "<a>&#0;</a>", "<a>&#xd800;</a>", "<a>&amp</a>", "<a>&#+65;</a>",
      "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
      "<a><![CDATA[</a>", "<a:b:c/>", "<a:/>", "<>", "x<a/>", "<a/>x",
    ])
  func refused(text: String) {
    #expect(throws: DecodingFailure.self) { try events(text) }
  }

  @Test("Depth, length and texts are bounded")
  func bounds() throws {
    let deep = String(repeating: "<a>", count: 33) + String(repeating: "</a>", count: 33)
    #expect(throws: DecodingFailure.tooLarge) { try events(deep) }
    let long = "<a>" + String(repeating: "x", count: 65_536) + "</a>"
    #expect(throws: DecodingFailure.tooLarge) { try events(long) }
    let text = "<a>" + String(repeating: "x", count: 5_000) + "</a>"
    #expect(try events(text).last == .end("a", text: String(repeating: "x", count: 1_024)))
  }

  @Test("Every cut of a document is refused, and none is read past its end")
  func cuts() {
    let text = "<a b=\"c\"><d>&amp;</d><!--e--><![CDATA[f]]></a>"
    for count in 0..<text.utf8.count {
      #expect(throws: DecodingFailure.self) { try events(String(text.prefix(count))) }
    }
  }
}

@Suite("Where a UPnP device is")
struct GatewayURLTests {
  let gateway = ip("192.168.1.1")

  @Test("A URL on the gateway")
  func good() {
    let url = GatewayURL("http://192.168.1.1:5000/rootDesc.xml?x=1", on: gateway)
    #expect(url?.host == Endpoint("192.168.1.1:5000"))
    #expect(url?.path == "/rootDesc.xml?x=1")
    #expect(GatewayURL("HTTP://192.168.1.1", on: gateway)?.text == "http://192.168.1.1:80/")
  }

  @Test(
    "Anything else is nobody's to make us ask for",
    arguments: [
      "http://192.168.1.2:5000/", "http://203.0.113.1/", "http://router.local/", "https://192.168.1.1/",
      "http://192.168.1.1@203.0.113.1/", "http://192.168.1.1:80@203.0.113.1/", "http://192.168.1.1:0/",
      "http://192.168.1.1:70000/", "http://192.168.1.1.203.0.113.1/", "http://3232235777/",
      "ftp://192.168.1.1/",
      "http://192.168.001.1/", "http://192.168.1.1/a b", "http://192.168.1.1/\r\nHost: x", "http://[::1]/",
      "http://192.168.1.1\\@203.0.113.1/", "file:///etc/passwd", "http:///", "", "//192.168.1.1/",
      "http://127.0.0.1:9460/", "http://169.254.169.254/latest/meta-data/", "http://192.168.1.1/#a",
    ])
  func bad(text: String) {
    #expect(GatewayURL(text, on: gateway) == nil)
  }

  @Test("References lead to the gateway, or nowhere")
  func references() throws {
    let url = try #require(GatewayURL("http://192.168.1.1:5000/a/desc.xml?b/c", on: gateway))
    #expect(url.resolving("/ctl/IPConn")?.text == "http://192.168.1.1:5000/ctl/IPConn")
    #expect(url.resolving("ctl?WANIPConn1")?.text == "http://192.168.1.1:5000/a/ctl?WANIPConn1")
    #expect(url.resolving("http://192.168.1.1:49152/x")?.text == "http://192.168.1.1:49152/x")
    for bad in ["http://203.0.113.1/x", "//203.0.113.1/x", "https://192.168.1.1/x", "", "/a b"] {
      #expect(url.resolving(bad) == nil, "\(bad)")
    }
  }

  private func location(_ answer: String) -> GatewayURL? {
    try? SSDP.location(in: Array(answer.utf8)[...], on: gateway)
  }

  @Test("An answer to the search names its description")
  func search() {
    let text = String(decoding: SSDP.search(at: SSDP.group), as: UTF8.self)
    #expect(
      text.hasPrefix(
        "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n"))
    #expect(text.hasSuffix("ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"))
    let answer = "HTTP/1.1 200 OK\r\nST: x\r\nlocation:  http://192.168.1.1:5000/a.xml \r\n\r\n"
    #expect(location(answer)?.path == "/a.xml")
  }

  @Test(
    "An answer to the search that leads elsewhere, or is none, is dropped",
    arguments: [
      "HTTP/1.1 200 OK\r\nLOCATION: http://203.0.113.1/a.xml\r\n\r\n",
      "HTTP/1.1 404 No\r\nLOCATION: http://192.168.1.1/a.xml\r\n\r\n",
      "NOTIFY * HTTP/1.1\r\nLOCATION: http://192.168.1.1/a.xml\r\n\r\n",
      "HTTP/1.1 200 OK\r\n\r\nLOCATION: http://192.168.1.1/a.xml\r\n",
      "HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.1/a.xml\r\nLocation: http://192.168.1.1/b.xml\r\n\r\n",
      "HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.1/\u{e9}\r\n\r\n", "HTTP/1.1", "",
    ])
  func noAnswer(answer: String) {
    #expect(location(answer) == nil)
  }

  @Test("An answer of more than 2,048 bytes is not read")
  func oversized() {
    let head = "HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.1/a.xml\r\n"
    #expect(location(head + "\r\n") != nil)
    #expect(location(head + "X: " + String(repeating: "x", count: 2_048) + "\r\n\r\n") == nil)
  }
}

@Suite("UPnP gateway devices")
struct IGDTests {
  static let url = GatewayURL("http://192.168.1.1:5000/rootDesc.xml", on: ip("192.168.1.1"))!

  static func description(_ services: [(type: String, control: String)], base: String = "") -> [UInt8] {
    let list = services.map {
      "<service><serviceType>\($0.type)</serviceType><serviceId>i</serviceId>"
        + "<controlURL>\($0.control)</controlURL></service>"
    }.joined()
    let text =
      "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\">\(base)<device>"
      + "<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device>"
      + "<serviceList>\(list)</serviceList></device></deviceList></device></root>"
    return Array(text.utf8)
  }

  private func service(_ document: [UInt8]) throws -> IGD.Service {
    try IGD.service(in: document[...], at: Self.url)
  }

  @Test("The best service is taken, wherever it stands")
  func best() throws {
    let found = try service(
      Self.description([
        ("urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1", "/a"),
        (IGD.ServiceType.pppConnection1.rawValue, "/b"), (IGD.ServiceType.ipConnection1.rawValue, "/c"),
      ]))
    #expect(found.type == .ipConnection1)
    #expect(found.control.text == "http://192.168.1.1:5000/c")
  }

  @Test("A control URL elsewhere is passed over, and so is a base elsewhere")
  func elsewhere() throws {
    let two = [
      (type: IGD.ServiceType.ipConnection2.rawValue, control: "http://203.0.113.1/a"),
      (type: IGD.ServiceType.ipConnection1.rawValue, control: "b"),
    ]
    #expect(try service(Self.description(two)).control.text == "http://192.168.1.1:5000/b")
    let away = Self.description([two[1]], base: "<URLBase>http://203.0.113.1/</URLBase>")
    #expect(try service(away).control.text == "http://192.168.1.1:5000/b")
    let base = Self.description([two[1]], base: "<URLBase>http://192.168.1.1:80/x/</URLBase>")
    #expect(try service(base).control.text == "http://192.168.1.1:80/x/b")
    #expect(throws: DecodingFailure.self) { try service(Self.description([two[0]])) }
    #expect(throws: DecodingFailure.self) { try service(Self.description([])) }
  }

  @Test("More than 64 services are no device of ours")
  func many() {
    let one = (type: IGD.ServiceType.ipConnection1.rawValue, control: "/c")
    #expect(throws: DecodingFailure.tooLarge) {
      try service(Self.description([(type: String, control: String)](repeating: one, count: 65)))
    }
  }

  @Test("A mapping is asked for with all its arguments, in their order")
  func request() {
    let mapping = IGD.Mapping(
      externalPort: 4_096, internalPort: 8_443, client: ip("192.168.1.2"), lease: 1_200)
    let text = String(decoding: IGD.Action.add(mapping).body(for: .ipConnection1), as: UTF8.self)
    let expected = """
      <u:AddPortMapping xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">\
      <NewRemoteHost></NewRemoteHost>\
      <NewExternalPort>4096</NewExternalPort><NewProtocol>UDP</NewProtocol>\
      <NewInternalPort>8443</NewInternalPort><NewInternalClient>192.168.1.2</NewInternalClient>\
      <NewEnabled>1</NewEnabled><NewPortMappingDescription>shadowmesh</NewPortMappingDescription>\
      <NewLeaseDuration>1200</NewLeaseDuration></u:AddPortMapping>
      """
    #expect(text.contains(expected))
  }

  static func soap(_ inner: String) -> [UInt8] {
    let text =
      "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>"
      + inner + "</s:Body></s:Envelope>"
    return Array(text.utf8)
  }

  static func fault(_ code: Int) -> [UInt8] {
    soap(
      "<s:Fault><faultcode>s:Client</faultcode><detail><UPnPError><errorCode>\(code)</errorCode>"
        + "</UPnPError></detail></s:Fault>")
  }

  @Test("An answer is read; a fault, another action's answer and rubbish are failures")
  func answers() throws {
    let good = Self.soap(
      "<u:GetExternalIPAddressResponse><NewExternalIPAddress>203.0.113.7</NewExternalIPAddress>"
        + "</u:GetExternalIPAddressResponse>")
    let answer = try IGD.answer(to: .externalAddress, status: 200, body: good[...])
    #expect(answer.externalAddress == ip("203.0.113.7"))
    func code(_ action: IGD.Action, _ status: Int, _ body: [UInt8]) -> Int? {
      do { _ = try IGD.answer(to: action, status: status, body: body[...]) } catch { return error.code }
      return nil
    }
    #expect(code(.externalAddress, 500, Self.fault(501)) == 501)
    #expect(code(.delete(externalPort: 1), 200, good) == 0)
    #expect(code(.externalAddress, 500, good) == 500)
    #expect(code(.externalAddress, 401, Array("no".utf8)) == 401)
    #expect(code(.externalAddress, 200, Array("no".utf8)) == 0)
  }
}

@Suite("A router's outer address")
struct OuterAddressTests {
  @Test(
    "What no one on the internet can send to is not public",
    arguments: [
      "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.1.1", "172.16.0.1",
      "172.31.255.255", "192.0.0.2", "192.168.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
      "2001:db8::1",
    ])
  func refused(text: String) {
    #expect(!OuterAddress.isPublic(ip(text)))
  }

  @Test(
    "The others are",
    arguments: [
      "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.169.0.1", "203.0.113.7",
    ])
  func taken(text: String) {
    #expect(OuterAddress.isPublic(ip(text)))
  }
}
