// The smtp-server of nodemailer: node smtp_server.js PORT OPTIONS, which is JSON for its constructor. It takes the
// password "correct horse", and answers each message with the SHA-256 of its content.
"use strict";
const { createHash } = require("node:crypto");
const { SMTPServer } = require("smtp-server");

const server = new SMTPServer({
    ...JSON.parse(process.argv[3]),
    onAuth({ username, password }, session, done) {
        if (password !== "correct horse") return done(new Error("wrong password"));
        done(null, { user: username });
    },
    onRcptTo({ address }, session, done) {
        done(address.startsWith("nobody@") ? Object.assign(new Error("nobody"), { responseCode: 550 }) : null);
    },
    onData(stream, session, done) {
        const hash = createHash("sha256");
        stream.on("data", piece => hash.update(piece));
        stream.on("end", () => done(null, hash.digest("hex")));
    },
});
server.on("error", error => console.error(error.message)); // a client that leaves is no reason to end
server.listen(Number(process.argv[2]), "127.0.0.1");
