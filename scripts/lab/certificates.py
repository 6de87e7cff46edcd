"""A certificate authority that lives as long as one run."""

from .network import run

REQUEST = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = {alternative}
"""


def make(directory, *addresses):
    """Writes ca.pem, server.pem and server.key for a server at these IP addresses."""

    def write(name, common_name):
        path = f"{directory}/{name}.cnf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                REQUEST.format(
                    name=common_name, alternative=", ".join(f"IP:{address}" for address in addresses)
                )
            )
        return path

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    ca = write("ca", "ShadowMesh lab authority")
    run(
        "openssl",
        "req",
        "-x509",
        *key,
        "-days",
        "2",
        "-config",
        ca,
        "-extensions",
        "authority",
        "-keyout",
        f"{directory}/ca.key",
        "-out",
        f"{directory}/ca.pem",
    )
    server = write("server", "ShadowMesh lab backbone")
    run(
        "openssl",
        "req",
        *key,
        "-config",
        server,
        "-keyout",
        f"{directory}/server.key",
        "-out",
        f"{directory}/server.csr",
    )
    run(
        "openssl",
        "x509",
        "-req",
        "-in",
        f"{directory}/server.csr",
        "-days",
        "2",
        "-CAcreateserial",
        "-CA",
        f"{directory}/ca.pem",
        "-CAkey",
        f"{directory}/ca.key",
        "-extfile",
        server,
        "-extensions",
        "server",
        "-out",
        f"{directory}/server.pem",
    )
