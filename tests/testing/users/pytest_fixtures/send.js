// The application: node send.js PORT CA_FILE RECIPIENT... mails a report, and prints what became of it.
"use strict";
const { readFileSync } = require("node:fs");
const nodemailer = require("nodemailer");

const [port, ca, ...to] = process.argv.slice(2);
const transport = nodemailer.createTransport({
    host: "localhost",
    port: Number(port),
    requireTLS: true,
    tls: { ca: readFileSync(ca) },
    auth: { user: "reports", pass: "secret" },
});
transport
    .sendMail({ from: "reports@example.org", to, subject: "Umsätze", text: ".5 million\n" })
    .then(({ accepted, rejected }) => console.log(JSON.stringify({ accepted, rejected })))
    .catch(({ code, responseCode }) => console.log(JSON.stringify({ code, responseCode })));
